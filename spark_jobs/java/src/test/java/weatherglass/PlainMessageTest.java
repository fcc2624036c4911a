package weatherglass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PlainMessageTest {
    private static final long ARRIVED = 1_767_615_300_000_000L;
    private static final ObservationParser PARSER =
            new ObservationParser(ObservationParserTest.TIME, Long.MAX_VALUE / 4, Long.MAX_VALUE / 4);

    private static final List<String> USUAL = List.of(
            "{\"station_id\":\"JFK\",\"timestamp\":\"2026-01-05T12:15:00.250Z\",\"temperature\":-1.5,\"humidity\":80,"
                    + "\"pressure\":1013.25,\"wind_speed\":0.05,\"wind_direction\":null}",
            " { \"note\" : \"a b\" , \"timestamp\" : \"2024-02-29T23:59:59Z\" , \"on\" : true , \"off\" : false,\r\n\t"
                    + "\"station_id\" : \"x\", \"level\": 12.000000000001, \"nothing\":null} ",
            "{\"station_id\":\"a\",\"timestamp\":\"0001-01-01T00:00:00.123456789Z\",\"humidity\":0,\"pressure\":0.0}");

    /** What messages are made of, and bytes that are special in JSON, in a time, or in an encoding. */
    private static final List<String> PIECES = List.of(
            "\"", "\\", "{", "}", "[", "]", ":", ",", " ", "\n", "-", "+", ".", "e", "E", "0", "1", "9", "00", "Z", "T", "/", "..",
            "\0", "\u007f", "\u001f", "é", "\\u00e9", "\\\"", "null", "true", "NaN", "1e5", "-0", "-0.0", "0.1", "1e999",
            "123456789012345", "1234567890123456", "0.123456789012345", "179769313486231", "\"station_id\"",
            "\"timestamp\":\"2026-01-05T12:15:00Z\"", "\"temperature\":2", "\"humidity\":null", "\"x\":1", "\"x\":1,",
            "\"note\":\"\"", "29", "30", "31", "-02-", "-04-", "24:", ":60", "+01:00", "{\"a\":1,\"a\":2}", "[1,2]");

    private record Result(String reason, String station, long time, List<Double> values) {
    }

    private static Result result(String reason, ObservationFields fields) {
        return reason != null ? new Result(reason, null, 0, null)
                : new Result(null, fields.station, fields.time, Arrays.stream(fields.values).boxed().toList());
    }

    /** Asserts that both readers give the same, and returns whether the fast one has read the message. */
    private static boolean readersAgree(byte[] message) {
        ObservationFields fast = new ObservationFields(), json = new ObservationFields();
        json.clear();
        fast.clear();
        Result expected = result(PARSER.parseJson(message, ARRIVED, json), json);
        boolean read = new PlainMessage().read(message, fast);
        if (read) {
            assertEquals(expected, result(null, fast), () -> new String(message, StandardCharsets.UTF_8));
        }
        assertEquals(expected, result(PARSER.parse(message, ARRIVED, new PlainMessage(), fast), fast));
        return read;
    }

    @Test
    void messagesInTheirUsualFormAreRead() {
        for (String message : USUAL) {
            assertTrue(readersAgree(message.getBytes(StandardCharsets.UTF_8)), message);
        }
    }

    @Test
    void changedMessagesAreReadAsByTheJsonParser() {
        Random random = new Random(1);
        int read = 0, rounds = 60_000;
        for (int i = 0; i < rounds; i++) {
            byte[] message = USUAL.get(random.nextInt(USUAL.size())).getBytes(StandardCharsets.UTF_8);
            for (int changes = 1 + random.nextInt(3); changes > 0; changes--) {
                message = changed(message, random);
            }
            read += readersAgree(message) ? 1 : 0;
        }
        assertTrue(read > rounds / 50 && read < rounds / 2, "both forms are frequent: " + read);
    }

    /** A part of the message removed, replaced by a piece, or repeated. */
    private static byte[] changed(byte[] message, Random random) {
        int start = random.nextInt(message.length + 1);
        int end = Math.min(message.length, start + (random.nextInt(4) == 0 ? random.nextInt(20) : random.nextInt(3)));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(message, 0, start);
        switch (random.nextInt(4)) {
            case 0 -> { }
            case 1 -> bytes.write(message, start, 2 * (end - start) > message.length - start ? 0 : 2 * (end - start));
            default -> bytes.writeBytes(PIECES.get(random.nextInt(PIECES.size())).getBytes(StandardCharsets.UTF_8));
        }
        bytes.write(message, end, message.length - end);
        return bytes.size() == 0 ? message : bytes.toByteArray();
    }

    @Test
    void repeatedNamesAreNotRead() {
        List<String> names = new ArrayList<>(List.of("station_id", "timestamp", "temperature", "humidity", "pressure",
                "wind_speed", "wind_direction", "note"));
        for (String name : names) {
            String value = name.equals("timestamp") ? "\"2026-01-05T12:15:00Z\"" : name.equals("station_id") ? "\"a\"" : "1";
            String field = "\"" + name + "\":" + value;
            String others = name.equals("timestamp") ? "\"station_id\":\"a\"" : name.equals("station_id")
                    ? "\"timestamp\":\"2026-01-05T12:15:00Z\""
                    : "\"station_id\":\"a\",\"timestamp\":\"2026-01-05T12:15:00Z\"";
            assertTrue(readersAgree(("{" + others + "," + field + "}").getBytes(StandardCharsets.UTF_8)), name);
            assertFalse(readersAgree(("{" + field + "," + others + "," + field + "}").getBytes(StandardCharsets.UTF_8)));
        }
    }

    @Test
    void everyDayOfFourCenturiesIsReadAsByTheJsonParser() {
        for (int day = -150_000; day < 0; day += 7) {
            String date = java.time.LocalDate.of(2100, 3, 1).plusDays(day).toString();
            assertTrue(readersAgree(("{\"station_id\":\"a\",\"timestamp\":\"" + date + "T01:02:03.4Z\"}")
                    .getBytes(StandardCharsets.UTF_8)), date);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"1900-02-29", "2023-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00"})
    void daysThatDoNotExistAreNotRead(String date) {
        assertFalse(readersAgree(("{\"station_id\":\"a\",\"timestamp\":\"" + date + "T00:00:00Z\"}")
                .getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    void numbersHaveTheSameBitsAsThoseOfTheJsonParser() {
        Random random = new Random(2);
        for (int i = 0; i < 20_000; i++) {
            String digits = Long.toString(Math.abs(random.nextLong()) % (long) Math.pow(10, 1 + random.nextInt(16)));
            int decimals = random.nextInt(digits.length());
            String number = (random.nextBoolean() ? "-" : "") + (decimals == 0 ? digits
                    : digits.substring(0, digits.length() - decimals) + "." + digits.substring(digits.length() - decimals));
            byte[] message = ("{\"station_id\":\"a\",\"timestamp\":\"2026-01-05T12:15:00Z\",\"pressure\":" + number + "}")
                    .getBytes(StandardCharsets.UTF_8);
            ObservationFields fields = new ObservationFields();
            fields.clear();
            if (new PlainMessage().read(message, fields)) {
                assertArrayEquals(new long[] {Double.doubleToRawLongBits(Double.parseDouble(number))},
                        new long[] {Double.doubleToRawLongBits(fields.values[Reading.PRESSURE])}, number);
            }
            readersAgree(message);
        }
    }
}
