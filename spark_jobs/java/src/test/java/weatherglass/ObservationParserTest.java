package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.charset.StandardCharsets;

import org.apache.spark.sql.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ObservationParserTest {
    /** The same expression as `weatherglass.records.TIME_TEXT`. */
    static final String TIME = "([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
            + "(?:\\.([0-9]{1,9}))?(Z|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])?";

    /** 2026-01-05T12:15:00Z in microseconds since 1970. */
    private static final long NOON = 1_767_615_300_000_000L;
    private static final long MINUTE = 60_000_000L;
    private static final long FUTURE_TOLERANCE = 10 * MINUTE;
    private static final long PAST_HORIZON = 60 * MINUTE;

    private static final String VALID = """
            {"station_id": "JFK", "timestamp": "2026-01-05T12:15:00Z", "temperature": 1.5, "humidity": 80,
             "pressure": 1013.2, "wind_speed": 4.0, "wind_direction": 270}""";

    private static Row parse(byte[] message, long arrived) {
        return new ObservationParser(TIME, FUTURE_TOLERANCE, PAST_HORIZON).call(message, arrived);
    }

    private static Row parse(String message) {
        return parse(message.getBytes(StandardCharsets.UTF_8), NOON);
    }

    private static String reason(String message) {
        return parse(message).getString(7);
    }

    @Test
    void aValidMessageGivesAllColumns() {
        Row row = parse(VALID);

        assertEquals("JFK", row.getString(0));
        assertEquals(NOON, row.getLong(1));
        assertEquals(1.5, row.getDouble(2));
        assertEquals(80.0, row.getDouble(3));
        assertEquals(1013.2, row.getDouble(4));
        assertEquals(4.0, row.getDouble(5));
        assertEquals(270.0, row.getDouble(6));
        assertNull(row.get(7));
    }

    @Test
    void missingAndNullVariablesAreNull() {
        Row row = parse("{\"station_id\": \"JFK\", \"timestamp\": \"2026-01-05T12:15:00Z\", \"temperature\": null}");

        for (int column = 2; column <= 7; column++) {
            assertNull(row.get(column), "column " + column);
        }
    }

    @Test
    void unknownFieldsAreIgnored() {
        assertNull(reason(VALID.replace("{", "{\"extra\": {\"temperature\": [true, {}]}, ")));
    }

    @ParameterizedTest
    @CsvSource({
        "2026-01-05T12:15:00Z, 0",
        "2026-01-05 12:15:00Z, 0",
        "2026-01-05T12:15:00.5Z, 500000",
        "2026-01-05T12:15:00.123999999Z, 123000",
        "2026-01-05T14:15:00+02:00, 0",
        "2026-01-05T06:45:00-05:30, 0"})
    void aTimeIsConvertedToUtcAndTruncatedToMilliseconds(String time, long microseconds) {
        Row row = parse(VALID.replace("2026-01-05T12:15:00Z", time));

        assertNull(row.get(7));
        assertEquals(NOON + microseconds, row.getLong(1));
    }

    @ParameterizedTest
    @CsvSource({
        "2026-01-05T12:15:00, no_zone",
        "2026-01-05T12:15Z, bad_time",
        "2026-02-30T12:15:00Z, bad_time",
        "2026-01-05T24:15:00Z, bad_time",
        "2026-01-05T12:15:00+18:00, bad_time",
        "2026-01-05, bad_time",
        "'', bad_time"})
    void anInvalidTimeIsRejected(String time, String reason) {
        assertEquals(reason, reason(VALID.replace("2026-01-05T12:15:00Z", time)));
    }

    @Test
    void aTimeAtTheLimitsIsAcceptedAndOneMicrosecondBeyondIsRejected() {
        byte[] message = VALID.getBytes(StandardCharsets.UTF_8);

        assertNull(parse(message, NOON - FUTURE_TOLERANCE).get(7));
        assertEquals("future", parse(message, NOON - FUTURE_TOLERANCE - 1).getString(7));
        assertNull(parse(message, NOON + PAST_HORIZON).get(7));
        assertEquals("past", parse(message, NOON + PAST_HORIZON + 1).getString(7));
    }

    @Test
    void noBytesAreRejectedAsEmpty() {
        assertEquals("empty", parse(null, NOON).getString(7));
        assertEquals("empty", parse(new byte[0], NOON).getString(7));
    }

    @Test
    void bytesThatAreNotUtf8AreRejected() {
        assertEquals("not_utf8", parse(new byte[] {'{', (byte) 0xC3, '}'}, NOON).getString(7));
    }

    @Test
    void otherEncodingsAreRejected() {
        assertEquals("malformed_json", parse(VALID.getBytes(StandardCharsets.UTF_16BE), NOON).getString(7));
        assertEquals("malformed_json", reason("\uFEFF" + VALID));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{", "{}}", "{} {}", "nothing", " ", "{\"a\": 1,}", "{'a': 1}", "{\"a\": 01}", "{\"a\": 1, \"a\": 1}",
        "{\"a\": \"\\ud800\"}", "{\"\\ud800\": 1}"})
    void malformedJsonIsRejected(String message) {
        assertEquals("malformed_json", reason(message));
    }

    @ParameterizedTest
    @ValueSource(strings = {"NaN", "Infinity", "-Infinity", "1e999", "-1e999"})
    void numbersThatAreNotFiniteAreRejected(String number) {
        assertEquals("not_finite", reason(VALID.replace("1.5", number)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"1.5\"", "true", "[1.5]", "{}"})
    void aVariableOfAnotherTypeIsRejected(String value) {
        assertEquals("wrong_type", reason(VALID.replace("1.5", value)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"[]", "1", "\"text\"", "null", "true"})
    void aDocumentThatIsNotAnObjectIsRejected(String message) {
        assertEquals("wrong_type", reason(message));
    }

    @Test
    void theStationIsRequired() {
        assertEquals("missing_station", reason(VALID.replace("\"JFK\"", "null")));
        assertEquals("wrong_type", reason(VALID.replace("\"JFK\"", "7")));
        assertEquals("bad_station", reason(VALID.replace("JFK", "")));
    }

    @Test
    void aStationIdHasAtMost100Characters() {
        assertNull(reason(VALID.replace("JFK", "\uD83C\uDF27".repeat(100))));
        assertEquals("bad_station", reason(VALID.replace("JFK", "x".repeat(101))));
    }

    @ParameterizedTest
    @ValueSource(strings = {".", "..", "a/b", "a\\\\b", "a\\u0000", "a\\n", "a\u007F", "a\u0085"})
    void aStationIdIsNoPartOfAPathAndHasNoControlCharacters(String station) {
        assertEquals("bad_station", reason(VALID.replace("JFK", station)));
        assertNull(reason(VALID.replace("JFK", "...")));
    }

    @Test
    void theTimeIsRequired() {
        assertEquals("missing_time", reason("{\"station_id\": \"JFK\"}"));
        assertEquals("wrong_type", reason(VALID.replace("\"2026-01-05T12:15:00Z\"", "1767615300")));
    }
}
