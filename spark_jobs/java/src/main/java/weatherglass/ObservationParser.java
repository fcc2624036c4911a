package weatherglass;

import java.io.IOException;
import java.io.UncheckedIOException;
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
 * Strict parser for messages of `weather-raw`: a field has the type of the record schema or the message is rejected.
 * Unknown fields are ignored.
 *
 * <p>{@link PlainMessage} reads messages in their usual form; Jackson reads all others, and gives the reason for a
 * rejection. The reasons are those of `weatherglass.qc.observation_checks.RejectionReason`. The sink parses the same
 * messages with `weatherglass.records.Observation`; a test checks that both accept the same messages.
 */
public final class ObservationParser implements UDF2<byte[], Long, Row> {
    private static final String[] VARIABLES = {"temperature", "humidity", "pressure", "wind_speed", "wind_direction"};
    private static final int MAX_STATION_ID_LENGTH = 100;
    private static final Pattern NOT_FINITE = Pattern.compile("[:,\\[\\s][+-]?(NaN|Infinity|Inf)\\s*[,\\]}]");

    /** The limits of `weatherglass.records` and its parser, `pydantic`, instead of the defaults of Jackson. */
    private static final StreamReadConstraints LIMITS = StreamReadConstraints.builder().maxNestingDepth(200)
            .maxNumberLength(4300).maxNameLength(1000).maxStringLength(Integer.MAX_VALUE).build();
    private static final JsonFactory JSON = JsonFactory.builder().streamReadConstraints(LIMITS)
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private final Pattern time;
    private final long futureTolerance;
    private final long pastHorizon;

    /**
     * @param time regular expression of a timestamp, `weatherglass.records.TIME_TEXT`
     * @param futureTolerance how far an observation may lie after its arrival, microseconds
     * @param pastHorizon how far an observation may lie before its arrival, microseconds
     */
    public ObservationParser(String time, long futureTolerance, long pastHorizon) {
        this.time = Pattern.compile(time);
        this.futureTolerance = futureTolerance;
        this.pastHorizon = pastHorizon;
    }

    long futureTolerance() {
        return futureTolerance;
    }

    /**
     * A struct with the station, the time (microseconds since 1970), the five variables, and the rejection reason (null
     * for a valid observation).
     *
     * @param value the message, binary
     * @param arrived arrival time, microseconds since 1970
     */
    public Column parsed(Column value, Column arrived) {
        StructType struct = StructType.fromDDL("station_id string, time bigint, temperature double, humidity double,"
                + " pressure double, wind_speed double, wind_direction double, reason string");
        // Marked as non-deterministic: otherwise the optimizer copies it into each use of a field.
        return functions.udf(this, struct).asNondeterministic().apply(value, arrived);
    }

    @Override
    public Row call(byte[] value, Long arrived) {
        ObservationFields fields = new ObservationFields();
        String reason = parse(value, arrived, new PlainMessage(), fields);
        Object[] columns = new Object[3 + Reading.VALUES];
        if (reason == null) {
            columns[0] = fields.station;
            columns[1] = fields.time;
            for (int i = 0; i < Reading.VALUES; i++) {
                columns[2 + i] = Double.isNaN(fields.values[i]) ? null : fields.values[i];
            }
        }
        columns[2 + Reading.VALUES] = reason;
        return RowFactory.create(columns);
    }

    /**
     * Reads the fields of a message.
     *
     * @param plain the reader for messages in their usual form, which the calling thread uses again
     * @return the reason to reject it, the first that is found from the encoding up to the meaning; null if it is valid
     */
    String parse(byte[] value, long arrived, PlainMessage plain, ObservationFields fields) {
        fields.clear();
        if (value != null && plain.read(value, fields)) {
            return checkTime(fields.time, arrived);
        }
        fields.clear();
        return parseJson(value, arrived, fields);
    }

    /** The same for a message in any form, by Jackson. */
    String parseJson(byte[] value, long arrived, ObservationFields fields) {
        if (value == null || value.length == 0) {
            return "empty";
        }
        if (!isUtf8(value)) {
            return "not_utf8";
        }
        if (looksLikeOtherEncoding(value)) {
            return "malformed_json";
        }
        FieldReader reader = new FieldReader(fields);
        try (JsonParser json = JSON.createParser(value)) {
            JsonToken first = json.nextToken();
            if (first == JsonToken.START_OBJECT) {
                reader.read(json);
            } else {
                reader.wrongType = true;
                json.skipChildren();
            }
            if (first == null || json.nextToken() != null || hasLoneSurrogate(value)) {
                return "malformed_json";
            }
        } catch (JsonProcessingException error) {
            boolean number = NOT_FINITE.matcher(new String(value, StandardCharsets.UTF_8)).find();
            return number ? "not_finite" : "malformed_json";
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        if (reader.infinite) {
            return "not_finite";
        }
        if (reader.wrongType) {
            return "wrong_type";
        }
        if (fields.station == null) {
            return "missing_station";
        }
        if (!isStationId(fields.station)) {
            return "bad_station";
        }
        return reader.time == null ? "missing_time" : parseTime(reader.time, arrived, fields);
    }

    /** The rule of `weatherglass.records.STATION_ID_PATTERN`; characters are counted as code points. */
    static boolean isStationId(String text) {
        for (int i = 0; i < text.length(); i++) {
            char character = text.charAt(i);
            if (character == '/' || character == '\\' || Character.isISOControl(character)) {
                return false;
            }
        }
        return !text.isEmpty() && !text.equals(".") && !text.equals("..")
                && text.codePointCount(0, text.length()) <= MAX_STATION_ID_LENGTH;
    }

    private String parseTime(String text, long arrived, ObservationFields fields) {
        var match = time.matcher(text);
        if (!match.matches()) {
            return "bad_time";
        }
        if (match.group(4) == null) {
            return "no_zone";
        }
        try {
            // Truncated to milliseconds, as in the output records: a prediction refers to its observation by this time.
            String fraction = match.group(3) == null ? "" : match.group(3);
            fields.time = LocalDateTime.parse(match.group(1) + "T" + match.group(2))
                    .toEpochSecond(ZoneOffset.of(match.group(4))) * 1_000_000
                    + Long.parseLong((fraction + "000").substring(0, 3)) * 1000;
        } catch (DateTimeException error) {
            return "bad_time";
        }
        return checkTime(fields.time, arrived);
    }

    private String checkTime(long microseconds, long arrived) {
        if (microseconds - arrived > futureTolerance) {
            return "future";
        }
        return arrived - microseconds > pastHorizon ? "past" : null;
    }

    /** Whether Jackson would detect another encoding than UTF-8 from the first bytes, or skip a byte order mark. */
    private static boolean looksLikeOtherEncoding(byte[] value) {
        for (int i = 0; i < Math.min(value.length, 4); i++) {
            if (value[i] == 0) {
                return true;
            }
        }
        return value[0] == (byte) 0xEF;
    }

    /** Whether any string of the document contains a lone surrogate, which JSON can only express as an escape. */
    private static boolean hasLoneSurrogate(byte[] value) throws IOException {
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

    private static final class FieldReader {
        private final ObservationFields fields;
        private String time;
        private boolean wrongType;
        private boolean infinite;

        private FieldReader(ObservationFields fields) {
            this.fields = fields;
        }

        private void read(JsonParser json) throws IOException {
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                JsonToken token = json.nextToken();
                int variable = java.util.Arrays.asList(VARIABLES).indexOf(name);
                if (variable >= 0) {
                    number(json, token, variable);
                } else if (name.equals("station_id")) {
                    fields.station = text(json, token);
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
                fields.values[variable] = number;
            } else {
                expectNull(json, token);
            }
        }

        private String text(JsonParser json, JsonToken token) throws IOException {
            if (token == JsonToken.VALUE_STRING) {
                return json.getText();
            }
            expectNull(json, token);
            return null;
        }

        private void expectNull(JsonParser json, JsonToken token) throws IOException {
            wrongType |= token != JsonToken.VALUE_NULL;
            json.skipChildren();
        }
    }
}
