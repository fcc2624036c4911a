package weatherglass;

import java.util.Arrays;

/** A growing array of bytes, with numbers of variable length (LEB128): small ones take one byte. */
final class ByteWriter {
    private byte[] bytes = new byte[64];
    private int length;

    /** The memory that this writer uses. */
    int capacity() {
        return bytes.length;
    }

    byte[] toArray() {
        return Arrays.copyOf(bytes, length);
    }

    void unsigned(long value) {
        reserve(10);
        long rest = value;
        while ((rest & ~0x7FL) != 0) {
            bytes[length++] = (byte) (rest | 0x80);
            rest >>>= 7;
        }
        bytes[length++] = (byte) rest;
    }

    void signed(long value) {
        unsigned(value << 1 ^ value >> 63);
    }

    void fixed(double value) {
        reserve(Double.BYTES);
        long bits = Double.doubleToRawLongBits(value);
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            bytes[length++] = (byte) (bits >>> shift);
        }
    }

    /** Bytes with their length; null is possible. */
    void optional(byte[] value) {
        if (value == null) {
            unsigned(0);
            return;
        }
        unsigned(value.length + 1L);
        reserve(value.length);
        System.arraycopy(value, 0, bytes, length, value.length);
        length += value.length;
    }

    private void reserve(int more) {
        if (length + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + more));
        }
    }
}
