package weatherglass;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/**
 * The rows that a stream shuffles: a block of readings that have a station, pane, partition and source in common, or a
 * message that is not an observation, which has a `reason` and the station {@link #NO_STATION}.
 *
 * <p>Columns: `station_id`, `pane` (its start) and `newest` (time of the newest reading; both microseconds since 1970),
 * `source`, `readings` ({@link ReadingBlock}), `originals` (see {@link Builder}), `partition`, then of a message that is
 * no observation `reason`, `offset`, `key`, `value`, `replayed`, and last, for each check, the number of readings that
 * failed it.
 */
final class PackedRow {
    /** No observation has this station: the parser rejects it. */
    static final String NO_STATION = "";

    private static final String FAILED = "failed_";
    private static final String COLUMNS = "station_id string, pane bigint, newest bigint, source string,"
            + " readings binary, originals binary, partition int, reason string, offset bigint, key binary,"
            + " value binary, replayed string";
    private static final int COLUMN_COUNT = 12;
    private static final String LATE = "late";

    private PackedRow() {
    }

    static StructType schema(String[] checks) {
        StructType schema = StructType.fromDDL(COLUMNS);
        for (String check : checks) {
            schema = schema.add(FAILED + check, DataTypes.IntegerType);
        }
        return schema;
    }

    static Row rejected(int partition, long offset, String reason, byte[] key, byte[] value, String replayed, int checks) {
        Object[] columns = new Object[COLUMN_COUNT + checks];
        columns[0] = NO_STATION;
        columns[6] = partition;
        columns[7] = reason;
        columns[8] = offset;
        columns[9] = key;
        columns[10] = value;
        columns[11] = replayed;
        return RowFactory.create(columns);
    }

    static long pane(Row row) {
        return row.getLong(1);
    }

    static long newest(Row row) {
        return row.getLong(2);
    }

    static String source(Row row) {
        return row.getString(3);
    }

    static List<Reading> readings(Row row) {
        return ReadingBlock.decoded((byte[]) row.get(4));
    }

    /** The output row of a message that is not an observation. */
    static Row asRejected(Row row) {
        byte[] value = (byte[]) row.get(10);
        return outputRow(NO_STATION, row.getString(7), row.getInt(6), row.getLong(8), value == null ? 0 : value.length,
                (byte[]) row.get(9), value, row.getString(11));
    }

    /** The output rows of a block whose readings are late. */
    static List<Row> asLate(Row row) {
        List<Row> rows = new ArrayList<>();
        String station = row.getString(0);
        ByteReader originals = new ByteReader((byte[]) row.get(5));
        for (Reading reading : readings(row)) {
            int size = (int) originals.unsigned();
            boolean carried = originals.unsigned() == 1;
            byte[] key = carried ? originals.optional() : station.getBytes(StandardCharsets.UTF_8);
            byte[] value = carried ? originals.optional() : null;
            byte[] replayed = carried ? originals.optional() : null;
            rows.add(outputRow(station, LATE, row.getInt(6), reading.offset(), size, key, value,
                    replayed == null ? null : new String(replayed, StandardCharsets.UTF_8)));
        }
        return rows;
    }

    private static Row outputRow(String station, String reason, int partition, long offset, int size, byte[] key,
                                 byte[] value, String replayed) {
        return RowFactory.create(station, null, null, value, reason, partition, offset, size, key, replayed);
    }

    /**
     * Collects the readings of a block. `originals` contains, for each reading, the size of its message in bytes, and
     * the message itself, if the reading may turn out to be late: key, value and header `replayed`.
     */
    static final class Builder {
        private final ReadingBlock readings = new ReadingBlock();
        private final ByteWriter originals = new ByteWriter();
        private final int[] failed;

        Builder(int checks) {
            failed = new int[checks];
        }

        void add(Reading reading, boolean counted) {
            readings.add(reading);
            for (int i = 0; counted && i < failed.length; i++) {
                failed[i] += (reading.qcFlags() & QualityControl.failed(i)) != 0 ? 1 : 0;
            }
        }

        void addSize(byte[] value) {
            originals.unsigned(value.length);
            originals.unsigned(0);
        }

        void addOriginal(byte[] key, byte[] value, String replayed) {
            originals.unsigned(value.length);
            originals.unsigned(1);
            originals.optional(key);
            originals.optional(value);
            originals.optional(replayed == null ? null : replayed.getBytes(StandardCharsets.UTF_8));
        }

        int capacity() {
            return readings.capacity() + originals.capacity();
        }

        Row row(String station, long pane, int partition, String source) {
            Object[] columns = new Object[COLUMN_COUNT + failed.length];
            columns[0] = station;
            columns[1] = pane;
            columns[2] = readings.newest();
            columns[3] = source;
            columns[4] = readings.encoded();
            columns[5] = originals.toArray();
            columns[6] = partition;
            for (int i = 0; i < failed.length; i++) {
                columns[COLUMN_COUNT + i] = failed[i];
            }
            return RowFactory.create(columns);
        }
    }
}
