package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FeatureRecordTest {
    private static final long END = 300_000_000L;
    private static final double NONE = Double.NaN;
    private static final int PRESSURE_OK = QualityControl.ok(QualityControl.PRESSURE_ELEVATION);

    private static JsonNode record(String station, Summary window) throws IOException {
        return new ObjectMapper().readTree(new FeatureRecord(TestParameters.parameters(), END).json(station, END, window));
    }

    private static JsonNode features(String station, int flags, double[]... values) throws IOException {
        Pane pane = new Pane();
        for (int i = 0; i < values.length; i++) {
            pane.add(new Reading(i * 30_000_000L, 0, 0, values[i], flags), "replay");
        }
        return record(station, Summary.of(pane, 0)).get("aggregated_features");
    }

    private static JsonNode temperatures(double... values) throws IOException {
        double[][] readings = new double[values.length][];
        for (int i = 0; i < values.length; i++) {
            readings[i] = new double[] {values[i], NONE, NONE, NONE, NONE};
        }
        return features("unknown", 0, readings).get("temperature");
    }

    private static JsonNode wind(double[]... winds) throws IOException {
        double[][] readings = new double[winds.length][];
        for (int i = 0; i < winds.length; i++) {
            readings[i] = new double[] {NONE, NONE, NONE, winds[i][0], winds[i][1]};
        }
        return features("unknown", 0, readings).get("wind");
    }

    private static List<String> names(JsonNode node) {
        List<String> names = new ArrayList<>();
        node.fieldNames().forEachRemaining(names::add);
        return names;
    }

    @Test
    void theRecordHasTheFieldsOfTheSchemaInOrder() throws IOException {
        JsonNode record = record("JFK", Summary.NONE);

        assertEquals(List.of("station_id", "window_start", "window_end", "aggregated_features"), names(record));
        assertEquals("JFK", record.get("station_id").asText());
        JsonNode features = record.get("aggregated_features");
        assertEquals(
                List.of("count", "last_observation", "temperature", "humidity", "pressure", "wind_speed", "wind",
                        "dew_point", "sea_level_pressure", "apparent_temperature", "quality", "checks"),
                names(features));
        assertEquals(
                List.of("mean", "std", "min", "max", "last", "rate_per_hour", "trend", "count"),
                names(features.get("temperature")));
        assertEquals(List.of("u", "v", "direction", "steadiness", "count"), names(features.get("wind")));
        assertEquals(
                List.of("temperature", "humidity", "pressure", "wind_speed", "wind_direction"),
                names(features.get("quality")));
        assertEquals(
                List.of("range", "climate", "dew_point", "pressure_elevation"), names(features.get("checks")));
    }

    @Test
    void timesHaveMillisecondsOnlyIfTheyAreNotZero() throws IOException {
        Pane pane = new Pane();
        pane.add(TestParameters.reading(299.25, 1, NONE, NONE, NONE, NONE), "replay");
        JsonNode record = record("JFK", Summary.of(pane, 0));

        assertEquals("1970-01-01T00:00:00Z", record.get("window_start").asText());
        assertEquals("1970-01-01T00:05:00Z", record.get("window_end").asText());
        assertEquals(
                "1970-01-01T00:04:59.250Z", record.get("aggregated_features").get("last_observation").asText());
    }

    /** Values 10, 12, 17 at 0, 30, 60 s: variance 26 / 2, slope 210 / 1800 per second. */
    @Test
    void statisticsOfThreeValues() throws IOException {
        JsonNode statistics = temperatures(10, 12, 17);

        assertEquals(13, statistics.get("mean").asDouble(), 1e-12);
        assertEquals(3.605551275463989, statistics.get("std").asDouble(), 1e-12);
        assertEquals(10, statistics.get("min").asDouble());
        assertEquals(17, statistics.get("max").asDouble());
        assertEquals(17, statistics.get("last").asDouble());
        assertEquals(420, statistics.get("rate_per_hour").asDouble(), 1e-9);
        assertEquals("rising", statistics.get("trend").asText());
        assertEquals(3, statistics.get("count").asInt());
    }

    @Test
    void countsIncludeOnlyUsableValues() throws IOException {
        JsonNode features = features(
                "unknown", 0, new double[] {20, NONE, 1000, 3, NONE}, new double[] {21, NONE, NONE, 0, NONE});

        assertEquals(2, features.get("count").asInt());
        assertEquals(2, features.get("temperature").get("count").asInt());
        assertEquals(0, features.get("humidity").get("count").asInt());
        assertEquals(1, features.get("pressure").get("count").asInt());
        assertEquals(1, features.get("wind").get("count").asInt());
    }

    @Test
    void oneValueHasNoSpreadAndNoRate() throws IOException {
        JsonNode statistics = temperatures(10);

        assertEquals(10, statistics.get("mean").asDouble());
        assertTrue(statistics.get("std").isNull());
        assertTrue(statistics.get("rate_per_hour").isNull());
        assertTrue(statistics.get("trend").isNull());
    }

    @Test
    void missingValuesAreNull() throws IOException {
        JsonNode features = features("lowland", 0, new double[] {NONE, NONE, NONE, NONE, NONE});

        assertTrue(features.get("temperature").get("mean").isNull());
        assertTrue(features.get("dew_point").isNull());
        assertTrue(features.get("sea_level_pressure").isNull());
        assertTrue(features.get("apparent_temperature").isNull());
        assertTrue(features.get("wind").get("u").isNull());
    }

    /** The resolution is 0.1. */
    @ParameterizedTest
    @CsvSource({
        "10, 10.1, steady", "10, 10.11, rising", "10.11, 10, falling", "10, 10, steady"})
    void aTrendOfTwoValuesExceedsTheResolution(double first, double second, String trend) throws IOException {
        assertEquals(trend, temperatures(first, second).get("trend").asText());
    }

    /**
     * Values 0, m, 1 at 0, 30, 60 s: slope 1/60 per second, unexplained (2/3) (m - 1/2)², standard error
     * sqrt(unexplained / 1800). The slope exceeds two standard errors if |m - 1/2| is below sqrt(3) / 4 = 0.433.
     */
    @ParameterizedTest
    @CsvSource({"0.9, rising", "0.94, steady", "0.1, rising", "0.06, steady"})
    void aTrendOfThreeValuesExceedsTwoStandardErrors(double middle, String trend) throws IOException {
        assertEquals(trend, temperatures(0, middle, 1).get("trend").asText());
    }

    /** Winds of 3 m/s from 90° and 4 m/s from 180°: u = -1.5, v = 2, speed 2.5 of 3.5, from 180° - atan(1.5 / 2). */
    @Test
    void meanWindOfTwoDirections() throws IOException {
        JsonNode wind = wind(new double[] {3, 90}, new double[] {4, 180});

        assertEquals(-1.5, wind.get("u").asDouble(), 1e-12);
        assertEquals(2, wind.get("v").asDouble(), 1e-12);
        assertEquals(143.13010235415598, wind.get("direction").asDouble(), 1e-9);
        assertEquals(2.5 / 3.5, wind.get("steadiness").asDouble(), 1e-12);
    }

    @ParameterizedTest
    @CsvSource({"0", "45", "90", "180", "270", "359"})
    void aSteadyWindKeepsItsDirection(double direction) throws IOException {
        JsonNode wind = wind(new double[] {3, direction}, new double[] {3, direction});

        assertEquals(direction, wind.get("direction").asDouble(), 1e-9);
        assertEquals(1, wind.get("steadiness").asDouble(), 1e-12);
    }

    @Test
    void windsThatCancelOutHaveNoDirection() throws IOException {
        JsonNode wind = wind(new double[] {3, 90}, new double[] {3, 270});

        assertTrue(wind.get("direction").isNull());
        assertEquals(0, wind.get("steadiness").asDouble(), 1e-12);
    }

    @Test
    void aCalmHasNeitherDirectionNorSteadiness() throws IOException {
        JsonNode wind = wind(new double[] {0, NONE});

        assertEquals(0, wind.get("u").asDouble());
        assertTrue(wind.get("direction").isNull());
        assertTrue(wind.get("steadiness").isNull());
    }

    /** 20 °C, 50 %, 1000 hPa, 4 m/s at 100 m; expected values calculated with Python from the published formulas. */
    @Test
    void derivedValuesFollowTheirFormulas() throws IOException {
        JsonNode features = features("lowland", PRESSURE_OK, new double[] {20, 50, 1000, 4, 90});

        assertEquals(9.255174598981256, features.get("dew_point").asDouble(), 1e-9);
        assertEquals(1011.6456289770774, features.get("sea_level_pressure").asDouble(), 1e-9);
        assertEquals(17.048242312858147, features.get("apparent_temperature").asDouble(), 1e-9);
    }

    @Test
    void pressureIsReducedOnlyIfItMatchesAKnownElevationInRange() throws IOException {
        double[] values = {20, 50, 1000, 4, 90};
        int failed = PRESSURE_OK | QualityControl.failed(QualityControl.PRESSURE_ELEVATION);

        assertTrue(features("lowland", 0, values).get("sea_level_pressure").isNull());
        assertTrue(features("lowland", failed, values).get("sea_level_pressure").isNull());
        assertTrue(features("unknown", PRESSURE_OK, values).get("sea_level_pressure").isNull());
        assertTrue(features("mountain", PRESSURE_OK, values).get("sea_level_pressure").isNull());
    }

    @Test
    void qualityTellsExcludedPresentAndMissingValues() throws IOException {
        int flags = 1 << Reading.HUMIDITY | QualityControl.HAS_DIRECTION;
        JsonNode quality = features("unknown", flags, new double[] {20, 50, NONE, 3, 90}).get("quality");

        assertEquals("ok", quality.get("temperature").asText());
        assertEquals("failed", quality.get("humidity").asText());
        assertEquals("not_checked", quality.get("pressure").asText());
        assertEquals("ok", quality.get("wind_speed").asText());
        assertEquals("ok", quality.get("wind_direction").asText());
    }

    @Test
    void aCheckFailsIfAnyObservationFailedIt() throws IOException {
        int flags = QualityControl.ok(0) | QualityControl.failed(0) | QualityControl.ok(2) | QualityControl.failed(3);
        JsonNode checks = features("unknown", flags, new double[] {20, 50, 1000, 3, 90}).get("checks");

        assertEquals("failed", checks.get("range").asText());
        assertEquals("not_checked", checks.get("climate").asText());
        assertEquals("ok", checks.get("dew_point").asText());
        assertEquals("failed", checks.get("pressure_elevation").asText());
    }
}
