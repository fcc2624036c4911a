package weatherglass;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.regex.Pattern;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.api.java.UDF2;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.StructType;

/**
 * Reads a message of `weather-raw` strictly: the contract's types or nothing; unknown fields are passed over.
 *
 * <p>One pass over the bytes. The reasons are those of `weatherglass.qc.observation_checks.Reason`. `weatherglass.records.Observation`
 * reads the same messages for the store, and a test holds the two against each other: what one takes, the other takes.
 */
public final class ObservationParser implements UDF2<byte[], Long, Row> {
    private static final StructType OBSERVATION = StructType.fromDDL("station_id string, time bigint,"
            + " temperature double, humidity double, pressure double, wind_speed double, wind_direction double,"
            + " reason string");
    private static final String[] NAMES = {"temperature", "humidity", "pressure", "wind_speed", "wind_direction"};
    private static final int LONGEST_STATION_ID = 100;
    private static final Pattern NOT_FINITE = Pattern.compile("[:,\\[\\s][+-]?(NaN|Infinity|Inf)\\s*[,\\]}]");

    /** The limits of `weatherglass.records` and of its parser, `pydantic`, instead of Jackson's own. */
    private static final StreamReadConstraints LIMITS = StreamReadConstraints.builder().maxNestingDepth(200)
            .maxNumberLength(4300).maxNameLength(1000).maxStringLength(Integer.MAX_VALUE).build();
    private static final JsonFactory JSON = JsonFactory.builder().streamReadConstraints(LIMITS)
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final Pattern time;
    private final long ahead;
    private final long behind;

    private ObservationParser(Pattern time, long ahead, long behind) {
        this.time = time;
        this.ahead = ahead;
        this.behind = behind;
    }

    /**
     * A struct of station, time (microseconds since 1970), the five variables, and the reason why it is no observation.
     *
     * @param value the message, binary
     * @param arrived when it came, microseconds since 1970
     * @param time `weatherglass.records.TIME_TEXT`
     * @param ahead how far in the future an observation may be, microseconds
     * @param behind and how far in the past
     */
    public static Column parsed(Column value, Column arrived, String time, long ahead, long behind) {
        var parser = new ObservationParser(Pattern.compile(time), ahead, behind);
        // called non-deterministic, or the optimizer would copy it into every use of a field and parse that often
        return functions.udf(parser, OBSERVATION).asNondeterministic().apply(value, arrived);
    }

    @Override
    public Row call(byte[] value, Long arrived) throws IOException {
        Object[] found = new Object[8];
        found[7] = reason(value, arrived, found);
        return RowFactory.create(found);
    }

    /** The first thing that is wrong, from the bytes up to the meaning; null if nothing is. */
    private String reason(byte[] value, long arrived, Object[] found) throws IOException {
        if (value == null || value.length == 0) {
            return "empty";
        }
        if (!isUtf8(value)) {
            return "not_utf8";
        }
        if (seemsOtherwiseEncoded(value)) {
            return "malformed_json";
        }
        Fields fields = new Fields(found);
        try (JsonParser json = JSON.createParser(value)) {
            JsonToken first = json.nextToken();
            if (first == JsonToken.START_OBJECT) {
                fields.read(json);
            } else {
                fields.wrongType = true;
                json.skipChildren();
            }
            if (first == null || json.nextToken() != null || hasHalfCharacter(value)) {
                return "malformed_json";
            }
        } catch (JsonProcessingException error) {
            boolean number = NOT_FINITE.matcher(new String(value, StandardCharsets.UTF_8)).find();
            return number ? "not_finite" : "malformed_json";
        }
        if (fields.infinite) {
            return "not_finite";
        }
        if (fields.wrongType) {
            return "wrong_type";
        }
        if (found[0] == null) {
            return "missing_station";
        }
        String station = (String) found[0];
        if (station.isEmpty() || station.codePointCount(0, station.length()) > LONGEST_STATION_ID) {
            return "bad_station";
        }
        return fields.time == null ? "missing_time" : clock(fields.time, arrived, found);
    }

    private String clock(String text, long arrived, Object[] found) {
        var match = time.matcher(text);
        if (!match.matches()) {
            return "bad_time";
        }
        if (match.group(4) == null) {
            return "no_zone";
        }
        long microseconds;
        try {
            // cut to the millisecond, like the times that are written: or the prediction that answers it had another
            String fraction = match.group(3) == null ? "" : match.group(3);
            microseconds = LocalDateTime.parse(match.group(1) + "T" + match.group(2))
                    .toEpochSecond(ZoneOffset.of(match.group(4))) * 1_000_000
                    + Long.parseLong((fraction + "000").substring(0, 3)) * 1000;
        } catch (DateTimeException error) {
            return "bad_time";
        }
        found[1] = microseconds;
        return microseconds - arrived > ahead ? "future" : arrived - microseconds > behind ? "past" : null;
    }

    /** Whether Jackson would take UTF-8 for another encoding, by its first bytes, or pass over a byte order mark. */
    private static boolean seemsOtherwiseEncoded(byte[] value) {
        for (int i = 0; i < Math.min(value.length, 4); i++) {
            if (value[i] == 0) {
                return true;
            }
        }
        return value[0] == (byte) 0xEF;
    }

    /** Whether any text of the document holds a lone surrogate, which can only be written as an escape. */
    private static boolean hasHalfCharacter(byte[] value) throws IOException {
        String bytes = new String(value, StandardCharsets.ISO_8859_1);
        if (!bytes.contains("\\ud") && !bytes.contains("\\uD")) {
            return false;
        }
        var encoder = StandardCharsets.UTF_8.newEncoder();
        try (JsonParser json = JSON.createParser(value)) {
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                boolean text = token == JsonToken.VALUE_STRING || token == JsonToken.FIELD_NAME;
                if (text && !encoder.canEncode(json.getText())) {
                    return true;
                }
            }
        }
        return false;
    }

    private static boolean isUtf8(byte[] value) {
        int i = 0;
        while (i < value.length && value[i] >= 0) {
            i++;
        }
        if (i == value.length) {
            return true;
        }
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value));
            return true;
        } catch (CharacterCodingException error) {
            return false;
        }
    }

    private static final class Fields {
        private final Object[] found;
        private String time;
        private boolean wrongType;
        private boolean infinite;

        private Fields(Object[] found) {
            this.found = found;
        }

        private void read(JsonParser json) throws IOException {
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                JsonToken token = json.nextToken();
                int variable = java.util.Arrays.asList(NAMES).indexOf(name);
                if (variable >= 0) {
                    number(json, token, variable);
                } else if (name.equals("station_id")) {
                    found[0] = text(json, token);
                } else if (name.equals("timestamp")) {
                    time = text(json, token);
                } else {
                    json.skipChildren();
                }
            }
        }

        private void number(JsonParser json, JsonToken token, int variable) throws IOException {
            if (token.isNumeric()) {
                double number = json.getDoubleValue();
                infinite |= Double.isInfinite(number);
                found[2 + variable] = number;
            } else {
                other(json, token);
            }
        }

        private String text(JsonParser json, JsonToken token) throws IOException {
            if (token == JsonToken.VALUE_STRING) {
                return json.getText();
            }
            other(json, token);
            return null;
        }

        private void other(JsonParser json, JsonToken token) throws IOException {
            wrongType |= token != JsonToken.VALUE_NULL;
            json.skipChildren();
        }
    }
}
