package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.Map;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.junit.jupiter.api.Test;

class WindowsTest {
    private static final long MINUTE = 60_000_000L;

    private static Windows windows() throws IOException {
        return new Windows(MINUTE, 5, TestParameters.JSON);
    }

    private static Summary temperature(double seconds, double value) {
        Pane pane = new Pane();
        pane.add(TestParameters.reading(seconds, value, Double.NaN, Double.NaN, Double.NaN, Double.NaN), "replay");
        return Summary.of(pane, (long) (seconds / 60) * MINUTE);
    }

    private static JsonNode json(Row row) throws IOException {
        return new ObjectMapper().readTree((byte[]) row.get(3));
    }

    @Test
    void aReadingBelongsToThePaneThatStartsAtItsFullMinute() throws IOException {
        Windows windows = windows();

        assertEquals(MINUTE, windows.paneOf(60_000_000L));
        assertEquals(MINUTE, windows.paneOf(119_999_000L));
        assertEquals(2 * MINUTE, windows.paneOf(120_000_000L));
        assertEquals(-MINUTE, windows.paneOf(-1_000L));
    }

    @Test
    void aPaneBelongsToFiveWindows() throws IOException {
        Windows windows = windows();

        assertEquals(6 * MINUTE, windows.lastEnd(MINUTE));
        assertEquals(
                List.of(2 * MINUTE, 3 * MINUTE, 4 * MINUTE, 5 * MINUTE, 6 * MINUTE),
                List.copyOf(windows.endsOf(List.of(MINUTE), Long.MIN_VALUE)));
    }

    @Test
    void windowsThatEndAtTheClosedTimeAreLeftOut() throws IOException {
        assertEquals(
                List.of(5 * MINUTE, 6 * MINUTE, 7 * MINUTE),
                List.copyOf(windows().endsOf(List.of(MINUTE, 2 * MINUTE), 4 * MINUTE)));
    }

    @Test
    void theFirstOpenPaneIsTheFirstWhoseLastWindowIsOpen() throws IOException {
        Windows windows = windows();

        for (long closed = 7 * MINUTE - 1; closed <= 8 * MINUTE; closed += MINUTE / 2) {
            long first = windows.firstOpenPane(closed);
            assertTrue(windows.lastEnd(first) > closed);
            assertTrue(windows.lastEnd(first - MINUTE) <= closed);
        }
    }

    @Test
    void aWindowMergesItsFivePanesAndNoOther() throws IOException {
        Map<Long, Summary> panes = Map.of(
                0L, temperature(0, 10), MINUTE, temperature(90, 12), 4 * MINUTE, temperature(240, 20),
                5 * MINUTE, temperature(300, 99));

        List<Row> rows = windows().windows("JFK", List.of(5 * MINUTE), panes::get);

        assertEquals(1, rows.size());
        Row row = rows.get(0);
        assertEquals("JFK", row.getString(0));
        assertEquals(5 * MINUTE, row.getLong(1));
        assertEquals("replay", row.getString(2));
        JsonNode record = json(row);
        assertEquals("1970-01-01T00:00:00Z", record.get("window_start").asText());
        assertEquals("1970-01-01T00:05:00Z", record.get("window_end").asText());
        JsonNode features = record.get("aggregated_features");
        assertEquals(3, features.get("count").asInt());
        assertEquals("1970-01-01T00:04:00Z", features.get("last_observation").asText());
        // times 0, 90, 240 s about 110 s: 12100 + 400 + 16900 = 29400; products 440 + 40 + 780 = 1260
        assertEquals(14.0, features.get("temperature").get("mean").asDouble(), 1e-12);
        assertEquals(20.0, features.get("temperature").get("last").asDouble());
        assertEquals(1260.0 / 29400 * 3600, features.get("temperature").get("rate_per_hour").asDouble(), 1e-9);
    }

    @Test
    void aRowIsReadByPositionWithMissingValuesAsNaN() {
        Row row = RowFactory.create("JFK", 1L, 2L, 3L, 10.0, null, 1000.0, 4.0, 361.0, "replay");

        Reading reading = Windows.reading(row, TestParameters.control());

        assertEquals(1, reading.time());
        assertEquals(2, reading.arrived());
        assertEquals(3, reading.offset());
        assertEquals(10.0, reading.values()[Reading.TEMPERATURE]);
        assertTrue(Double.isNaN(reading.values()[Reading.HUMIDITY]));
        assertEquals(1000.0, reading.values()[Reading.PRESSURE]);
        assertEquals(4.0, reading.values()[Reading.WIND_SPEED]);
        assertEquals(361.0, reading.values()[Reading.WIND_DIRECTION]);
        assertTrue(Double.isNaN(reading.usable(Reading.WIND_DIRECTION)));
    }
}
