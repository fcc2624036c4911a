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
 * <p>One pass over the bytes. The reasons are those of `weatherglass.quality.Reason`.
 */
public final class ObservationParser implements UDF2<byte[], Long, Row> {
    private static final StructType OBSERVATION = StructType.fromDDL("station_id string, time bigint,"
            + " temperature double, humidity double, pressure double, wind_speed double, wind_direction double,"
            + " reason string");
    private static final String[] NAMES = {"temperature", "humidity", "pressure", "wind_speed", "wind_direction"};
    private static final int LONGEST_STATION_ID = 100;
    private static final Pattern NOT_FINITE = Pattern.compile("[:,\\[\\s][+-]?(NaN|Infinity|Inf)\\s*[,\\]}]");
    private static final Pattern TIME = Pattern.compile(
            "(\\d{4}-\\d{2}-\\d{2})[T ](\\d{2}:\\d{2}:\\d{2})(?:\\.(\\d{1,9}))?(Z|[+-]\\d{2}:\\d{2})?");
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final long ahead;
    private final long behind;

    private ObservationParser(long ahead, long behind) {
        this.ahead = ahead;
        this.behind = behind;
    }

    /**
     * A struct of station, time (microseconds since 1970), the five variables, and the reason why it is no observation.
     *
     * @param value the message, binary
     * @param arrived when it came, microseconds since 1970
     * @param ahead how far in the future an observation may be, microseconds
     * @param behind and how far in the past
     */
    public static Column parsed(Column value, Column arrived, long ahead, long behind) {
        // called non-deterministic, or the optimizer would copy it into every use of a field and parse that often
        return functions.udf(new ObservationParser(ahead, behind), OBSERVATION).asNondeterministic().apply(value, arrived);
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
        Fields fields = new Fields(found);
        try (JsonParser json = JSON.createParser(value)) {
            JsonToken first = json.nextToken();
            if (first == JsonToken.START_OBJECT) {
                fields.read(json);
            } else {
                fields.wrongType = true;
                json.skipChildren();
            }
            if (first == null || json.nextToken() != null) {
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
        var match = TIME.matcher(text);
        if (!match.matches()) {
            return "bad_time";
        }
        if (match.group(4) == null) {
            return "no_zone";
        }
        long time;
        try {
            String fraction = match.group(3) == null ? "" : match.group(3);
            time = LocalDateTime.parse(match.group(1) + "T" + match.group(2)).toEpochSecond(ZoneOffset.of(match.group(4)))
                    * 1_000_000 + Long.parseLong((fraction + "000000").substring(0, 6));
        } catch (DateTimeException error) {
            return "bad_time";
        }
        found[1] = time;
        return time - arrived > ahead ? "future" : arrived - time > behind ? "past" : null;
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
