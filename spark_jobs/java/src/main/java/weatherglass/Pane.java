package weatherglass;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.apache.spark.sql.Row;

/** The readings of one station in one slide of the windows (a minute), one for each time, in order. */
final class Pane {
    private static final byte FORMAT = 1;
    private static final int BYTES = 4 * Long.BYTES + Reading.VALUES * Double.BYTES;

    private final ArrayList<Reading> readings = new ArrayList<>();
    private String source;

    /** Adds a reading; false if it changes nothing: it is a duplicate, or a newer revision is present. */
    boolean add(Reading reading, String from) {
        int found = position(reading.time());
        int at = found < 0 ? -found - 1 : found;
        boolean changed = true;
        if (found < 0) {
            readings.add(at, reading);
        } else if (reading.supersedes(readings.get(at))) {
            changed = !reading.hasSameContentAs(readings.set(at, reading));
        } else {
            return false;
        }
        if (at == readings.size() - 1) {
            source = from;
        }
        return changed;
    }

    /** Adds the readings of a block; false if they change nothing. */
    boolean addAll(Row block) {
        boolean changed = false;
        for (Reading reading : PackedRow.readings(block)) {
            changed |= add(reading, PackedRow.source(block));
        }
        return changed;
    }

    /** As `Collections.binarySearch`. Readings usually arrive in order, so the end is tried first. */
    private int position(long time) {
        int low = 0, high = readings.size() - 1;
        if (high < 0 || time > readings.get(high).time()) {
            return -readings.size() - 1;
        }
        while (low <= high) {
            int middle = (low + high) >>> 1;
            long found = readings.get(middle).time();
            if (found == time) {
                return middle;
            }
            if (found < time) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return -low - 1;
    }

    List<Reading> readings() {
        return readings;
    }

    /** Source of the newest reading; null if its message had no header `source`. */
    String source() {
        return source;
    }

    byte[] encoded() {
        byte[] text = source == null ? new byte[0] : source.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(1 + Integer.BYTES + text.length + readings.size() * BYTES).put(FORMAT);
        bytes.putInt(source == null ? -1 : text.length).put(text);
        for (Reading reading : readings) {
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
            pane.readings.add(new Reading(time, arrived, offset, values, (int) bytes.getLong()));
        }
        return pane;
    }
}
