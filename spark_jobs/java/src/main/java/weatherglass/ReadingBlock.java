package weatherglass;

import java.util.ArrayList;
import java.util.List;

/**
 * Readings in a compact form, in the order in which they were added: a reading takes about 25 bytes instead of a row of
 * 15 columns. They have a station and a pane in common, so most numbers are small differences from the reading before.
 */
final class ReadingBlock {
    private static final int MISSING = 0;
    private static final int HUNDREDTHS = 1;
    private static final int DOUBLE = 2;
    private static final int KIND_BITS = 2;

    private final ByteWriter bytes = new ByteWriter();
    private long newest = Long.MIN_VALUE;
    private long time;
    private long arrived;
    private long offset;

    void add(Reading reading) {
        newest = Math.max(newest, reading.time());
        bytes.signed(reading.time() - time);
        bytes.signed(reading.arrived() - arrived);
        bytes.signed(reading.offset() - offset);
        time = reading.time();
        arrived = reading.arrived();
        offset = reading.offset();
        long kinds = 0;
        for (int i = 0; i < Reading.VALUES; i++) {
            kinds |= (long) kind(reading.values()[i]) << KIND_BITS * i;
        }
        bytes.unsigned(Integer.toUnsignedLong(reading.qcFlags()) << KIND_BITS * Reading.VALUES | kinds);
        for (double value : reading.values()) {
            switch (kind(value)) {
                case HUNDREDTHS -> bytes.signed(Math.round(value * 100));
                case DOUBLE -> bytes.fixed(value);
                default -> { }
            }
        }
    }

    /** Time of the newest reading, microseconds since 1970. */
    long newest() {
        return newest;
    }

    int capacity() {
        return bytes.capacity();
    }

    byte[] encoded() {
        return bytes.toArray();
    }

    static List<Reading> decoded(byte[] encoded) {
        List<Reading> readings = new ArrayList<>(encoded.length / 16 + 1);
        ByteReader bytes = new ByteReader(encoded);
        long time = 0, arrived = 0, offset = 0;
        while (bytes.hasRemaining()) {
            time += bytes.signed();
            arrived += bytes.signed();
            offset += bytes.signed();
            long kinds = bytes.unsigned();
            double[] values = new double[Reading.VALUES];
            for (int i = 0; i < values.length; i++) {
                values[i] = switch ((int) (kinds >> KIND_BITS * i) & (1 << KIND_BITS) - 1) {
                    case HUNDREDTHS -> bytes.signed() / 100.0;
                    case DOUBLE -> bytes.fixed();
                    default -> Double.NaN;
                };
            }
            readings.add(new Reading(time, arrived, offset, values, (int) (kinds >> KIND_BITS * Reading.VALUES)));
        }
        return readings;
    }

    /** How a value is written; HUNDREDTHS only if that restores exactly the same bits. */
    private static int kind(double value) {
        if (Double.isNaN(value)) {
            return MISSING;
        }
        double restored = Math.round(value * 100) / 100.0;
        return Double.doubleToRawLongBits(restored) == Double.doubleToRawLongBits(value) ? HUNDREDTHS : DOUBLE;
    }
}
