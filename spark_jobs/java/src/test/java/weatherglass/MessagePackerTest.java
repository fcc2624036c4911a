package weatherglass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.junit.jupiter.api.Test;

class MessagePackerTest {
    private static final long MINUTE = 60_000_000L;
    private static final long TOLERANCE = 5 * MINUTE;
    private static final long DELAY = 10 * MINUTE;
    private static final long CHECKED = 2;

    private static MessagePacker packer(long closed) throws IOException {
        return new MessagePacker(new Windows(MINUTE, 5, TestParameters.JSON),
                new ObservationParser(ObservationParserTest.TIME, TOLERANCE, Long.MAX_VALUE / 4),
                TestParameters.control(), closed, DELAY);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String observation(String station, long time, double temperature) {
        return "{\"station_id\":\"" + station + "\",\"timestamp\":\"" + Instant.ofEpochMilli(time / 1000)
                + "\",\"temperature\":" + temperature + "}";
    }

    private static Row message(String value, long arrived, int partition, long offset, String source) {
        return RowFactory.create(bytes(value), arrived, partition, offset, bytes("key"), source, "now", true);
    }

    private static List<Row> packed(long closed, boolean first, Row... messages) throws IOException {
        List<Row> rows = new ArrayList<>();
        packer(closed).packed(List.of(messages).iterator(), first).forEachRemaining(rows::add);
        return rows;
    }

    @Test
    void readingsWithTheSameStationPanePartitionAndSourceAreOneRow() throws IOException {
        List<Row> rows = packed(0, false,
                message(observation("a", 10 * MINUTE, 1), 10 * MINUTE, 0, 5, "replay"),
                message(observation("a", 11 * MINUTE - 1000, 2), 11 * MINUTE, 0, 6, "replay"),
                message(observation("a", 10 * MINUTE, 3), 11 * MINUTE, 0, 7, "replay"),
                message(observation("a", 11 * MINUTE, 4), 11 * MINUTE, 0, 8, "replay"),
                message(observation("b", 10 * MINUTE, 5), 11 * MINUTE, 0, 9, "replay"),
                message(observation("a", 10 * MINUTE, 6), 11 * MINUTE, 1, 3, "replay"),
                message(observation("a", 10 * MINUTE, 7), 11 * MINUTE, 0, 10, null));

        assertEquals(List.of(List.of(5L, 6L, 7L), List.of(8L), List.of(9L), List.of(3L), List.of(10L)), rows.stream()
                .map(row -> PackedRow.readings(row).stream().map(Reading::offset).toList()).toList());
        Row row = rows.get(0);
        assertEquals("a", row.getString(0));
        assertEquals(10 * MINUTE, PackedRow.pane(row));
        assertEquals(11 * MINUTE - 1000, PackedRow.newest(row));
        assertEquals("replay", PackedRow.source(row));
        assertEquals(0, row.getInt(6));
        assertNull(row.get(7));
        assertNull(PackedRow.source(rows.get(4)));
    }

    @Test
    void aMessageThatIsNoObservationIsARowWithItsReasonAndContent() throws IOException {
        List<Row> rows = packed(0, false, message("nothing", 1, 3, 7, null));

        assertEquals(1, rows.size());
        Row rejected = PackedRow.asRejected(rows.get(0));
        assertEquals(PackedRow.NO_STATION, rows.get(0).getString(0));
        assertNull(rejected.get(1));
        assertArrayEquals(bytes("nothing"), (byte[]) rejected.get(3));
        assertEquals("malformed_json", rejected.getString(4));
        assertEquals(3, rejected.getInt(5));
        assertEquals(7, rejected.getLong(6));
        assertEquals("nothing".length(), rejected.getInt(7));
        assertArrayEquals(bytes("key"), (byte[]) rejected.get(8));
        assertEquals("now", rejected.getString(9));
    }

    /** The last window of a pane ends five minutes after its start. */
    @Test
    void theMessageIsCarriedOnlyIfItsReadingMayBeLate() throws IOException {
        String value = observation("a", 60 * MINUTE, 1);
        long possiblyLate = 65 * MINUTE + DELAY - TOLERANCE;
        Map<Long, Row> late = PackedRow.asLate(packed(0, false,
                message(value, possiblyLate - 1, 2, 0, null), message(value, possiblyLate, 2, 1, null)).get(0))
                .stream().collect(Collectors.toMap(row -> row.getLong(6), row -> row));

        assertNull(late.get(0L).get(3));
        assertArrayEquals(bytes("a"), (byte[]) late.get(0L).get(8));
        assertNull(late.get(0L).get(9));
        assertArrayEquals(bytes(value), (byte[]) late.get(1L).get(3));
        assertArrayEquals(bytes("key"), (byte[]) late.get(1L).get(8));
        assertEquals("now", late.get(1L).getString(9));
        for (Row row : late.values()) {
            assertEquals("a", row.getString(0));
            assertNull(row.get(1));
            assertEquals("late", row.getString(4));
            assertEquals(2, row.getInt(5));
            assertEquals(value.length(), row.getInt(7));
        }
    }

    @Test
    void inTheFirstBatchOnlyWindowsThatWereClosedBeforeMayBeLate() throws IOException {
        Row old = message(observation("a", 60 * MINUTE, 1), 600 * MINUTE, 0, 0, null);

        assertNull(PackedRow.asLate(packed(65 * MINUTE - 1, true, old).get(0)).get(0).get(3));
        assertTrue(PackedRow.asLate(packed(65 * MINUTE, true, old).get(0)).get(0).get(3) != null);
        assertTrue(PackedRow.asLate(packed(0, false, old).get(0)).get(0).get(3) != null);
    }

    @Test
    void failedChecksAreCountedForEachBlock() throws IOException {
        Row counted = message(observation("a", 0, 99), 0, 0, 0, null);
        Row notCounted = RowFactory.create(
                bytes(observation("a", 0, 98)), 0L, 0, 1L, null, null, null, false);
        Row row = packed(0, false, counted, counted, notCounted, message(observation("a", 0, 9), 0, 0, 2, null)).get(0);

        int range = row.size() - TestParameters.control().checks().length;
        assertEquals(CHECKED, row.getInt(range));
        assertEquals(0, row.getInt(range + 1));
    }

    /** More messages than fit into the memory of a task; rows must appear before the last message is read. */
    @Test
    void aTaskPacksALimitedNumberOfBytes() throws IOException {
        int count = 20_000;
        int[] read = {0};
        String padding = "\"note\":\"" + "x".repeat(2000) + "\",";
        Iterator<Row> messages = new Iterator<>() {
            @Override
            public boolean hasNext() {
                return read[0] < count;
            }

            @Override
            public Row next() {
                String value = observation("station-" + read[0] % 10, 0, 1).replace("{", "{" + padding);
                return message(value, 600 * MINUTE, 0, read[0]++, null);
            }
        };
        Iterator<Row> rows = packer(0).packed(messages, false);

        assertTrue(rows.hasNext());
        assertTrue(read[0] < count / 2);
        List<Long> offsets = new ArrayList<>();
        rows.forEachRemaining(row -> PackedRow.readings(row).forEach(reading -> offsets.add(reading.offset())));
        assertEquals(count, offsets.stream().distinct().count());
        assertEquals(count, offsets.size());
    }
}
