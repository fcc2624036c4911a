package weatherglass;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.TreeMap;

/** The readings of one station in one slide of the windows (a minute), one for each time, in order. */
final class Pane {
    private static final byte FORMAT = 1;
    private static final int BYTES = 4 * Long.BYTES + Reading.VALUES * Double.BYTES;

    private final TreeMap<Long, Reading> readings = new TreeMap<>();
    private String source;

    /** Adds a reading; false if it changes nothing: it is a duplicate, or a newer revision is present. */
    boolean add(Reading reading, String from) {
        Reading before = readings.get(reading.time());
        if (before != null && !reading.supersedes(before)) {
            return false;
        }
        readings.put(reading.time(), reading);
        if (readings.lastKey() == reading.time()) {
            source = from;
        }
        return before == null || !reading.hasSameContentAs(before);
    }

    Collection<Reading> readings() {
        return readings.values();
    }

    /** Source of the newest reading; null if its message had no header `source`. */
    String source() {
        return source;
    }

    byte[] encoded() {
        byte[] text = source == null ? new byte[0] : source.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(1 + Integer.BYTES + text.length + readings.size() * BYTES).put(FORMAT);
        bytes.putInt(source == null ? -1 : text.length).put(text);
        for (Reading reading : readings.values()) {
            bytes.putLong(reading.time()).putLong(reading.arrived()).putLong(reading.offset());
            for (double value : reading.values()) {
                bytes.putDouble(value);
            }
            bytes.putLong(reading.qcFlags());
        }
        return bytes.array();
    }

    static Pane decoded(byte[] encoded) {
        Pane pane = new Pane();
        ByteBuffer bytes = ByteBuffer.wrap(encoded);
        if (bytes.get() != FORMAT) {
            throw new IllegalStateException("Unsupported state format in the checkpoint, expected " + FORMAT);
        }
        int length = bytes.getInt();
        if (length >= 0) {
            pane.source = new String(encoded, bytes.position(), length, StandardCharsets.UTF_8);
            bytes.position(bytes.position() + length);
        }
        while (bytes.hasRemaining()) {
            long time = bytes.getLong(), arrived = bytes.getLong(), offset = bytes.getLong();
            double[] values = new double[Reading.VALUES];
            for (int i = 0; i < values.length; i++) {
                values[i] = bytes.getDouble();
            }
            pane.readings.put(time, new Reading(time, arrived, offset, values, (int) bytes.getLong()));
        }
        return pane;
    }
}
