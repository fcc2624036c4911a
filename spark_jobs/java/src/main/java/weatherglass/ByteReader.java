package weatherglass;

import java.util.Arrays;

/** Reads what {@link ByteWriter} has written, in the same order. */
final class ByteReader {
    private final byte[] bytes;
    private int at;

    ByteReader(byte[] bytes) {
        this.bytes = bytes;
    }

    boolean hasRemaining() {
        return at < bytes.length;
    }

    long unsigned() {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            value |= (next & 0x7FL) << shift;
            if (next >= 0) {
                return value;
            }
        }
    }

    long signed() {
        long value = unsigned();
        return value >>> 1 ^ -(value & 1);
    }

    double fixed() {
        long bits = 0;
        for (int shift = 0; shift < Long.SIZE; shift += 8) {
            bits |= (bytes[at++] & 0xFFL) << shift;
        }
        return Double.longBitsToDouble(bits);
    }

    byte[] optional() {
        int size = (int) unsigned() - 1;
        if (size < 0) {
            return null;
        }
        at += size;
        return Arrays.copyOfRange(bytes, at - size, at);
    }
}
