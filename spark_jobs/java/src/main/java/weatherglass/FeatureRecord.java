package weatherglass;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;

/**
 * Computes the features of a window from its summary and writes them as JSON of `weatherglass.records.WindowFeatures`.
 * `spark_jobs.window_features` documents the features, `weatherglass.meteorology` the formulas. An unknown value is NaN
 * here and null in the JSON.
 */
final class FeatureRecord implements Serializable {
    private static final JsonFactory JSON = new JsonFactory();

    /** A mean wind below this, m/s, is a rounding error of winds that cancel out: it has no direction. */
    private static final double CALM = 1e-6;

    /** A slope is a trend if it exceeds this multiple of its standard error. */
    private static final double TREND_STANDARD_ERRORS = 2;

    /** Tolerance of the comparisons for a trend, so that a rounding error in the last digit does not decide. */
    private static final double ROUNDING_TOLERANCE = 1 + 1e-6;

    private final QcParameters parameters;
    private final long width;

    /** @param width length of a window, microseconds */
    FeatureRecord(QcParameters parameters, long width) {
        this.parameters = parameters;
        this.width = width;
    }

    byte[] json(String station, long end, Summary window) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(2048);
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            json.writeStringField("station_id", station);
            json.writeStringField("window_start", iso(end - width));
            json.writeStringField("window_end", iso(end));
            json.writeObjectFieldStart("aggregated_features");
            features(json, station, window);
            json.writeEndObject();
            json.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return bytes.toByteArray();
    }

    private void features(JsonGenerator json, String station, Summary window) throws IOException {
        json.writeNumberField("count", window.count());
        json.writeStringField("last_observation", iso(window.lastTime()));
        for (int i = 0; i < Summary.VARIABLES; i++) {
            json.writeObjectFieldStart(parameters.variables()[i]);
            statistics(json, window.variables()[i], parameters.resolutions()[i]);
            json.writeEndObject();
        }
        json.writeObjectFieldStart("wind");
        wind(json, window);
        json.writeEndObject();
        number(json, "dew_point", dewPoint(window));
        number(json, "sea_level_pressure", seaLevelPressure(station, window));
        number(json, "apparent_temperature", apparentTemperature(window));
        json.writeObjectFieldStart("quality");
        for (int i = 0; i < Reading.VALUES; i++) {
            json.writeStringField(parameters.variables()[i], quality(window, i));
        }
        json.writeEndObject();
        json.writeObjectFieldStart("checks");
        for (int i = 0; i < parameters.checks().length; i++) {
            json.writeStringField(parameters.checks()[i], check(window, i));
        }
        json.writeEndObject();
    }

    private static void statistics(JsonGenerator json, Moments m, double resolution) throws IOException {
        boolean any = m.n() > 0;
        double slope = m.n() > 1 ? m.timeValue() / m.timeTime() : Double.NaN;
        number(json, "mean", any ? m.mean() : Double.NaN);
        number(json, "std", m.n() > 1 ? Math.sqrt(m.valueValue() / (m.n() - 1)) : Double.NaN);
        number(json, "min", any ? m.min() : Double.NaN);
        number(json, "max", any ? m.max() : Double.NaN);
        number(json, "last", any ? m.last() : Double.NaN);
        number(json, "rate_per_hour", slope * 3600);
        json.writeStringField("trend", Double.isNaN(slope) ? null : trend(m, slope, resolution));
        json.writeNumberField("count", m.n());
    }

    private static String trend(Moments m, double slope, double resolution) {
        double change = Math.abs(slope) * (m.lastTime() - m.firstTime()) / 1e6;
        if (change <= resolution * ROUNDING_TOLERANCE) {
            return "steady";
        }
        if (m.n() > 2) {
            double unexplained = Math.max(m.valueValue() - slope * slope * m.timeTime(), 0);
            double error = Math.sqrt(unexplained / (m.n() - 2) / m.timeTime());
            if (Math.abs(slope) <= TREND_STANDARD_ERRORS * ROUNDING_TOLERANCE * error) {
                return "steady";
            }
        }
        return slope > 0 ? "rising" : "falling";
    }

    private static void wind(JsonGenerator json, Summary window) throws IOException {
        double u = window.u() / window.winds(), v = window.v() / window.winds();
        double speed = Math.hypot(u, v);
        double angle = Math.toDegrees(Math.atan2(-u, -v));
        double from = angle < 0 ? (angle + 360) % 360 : Math.abs(angle);  // -0 becomes 0
        number(json, "u", u);
        number(json, "v", v);
        number(json, "direction", speed > CALM ? from : Double.NaN);
        double steadiness = Math.min(speed * window.winds() / window.speed(), 1);
        number(json, "steadiness", window.speed() > 0 ? steadiness : Double.NaN);
        json.writeNumberField("count", window.winds());
    }

    /** Same formula as `meteorology.dew_point`. */
    private double dewPoint(Summary window) {
        double a = parameters.magnus()[0], b = parameters.magnus()[1];
        double temperature = mean(window, Reading.TEMPERATURE), humidity = mean(window, Reading.HUMIDITY);
        double gamma = Math.log(humidity > 0 ? humidity / 100 : Double.NaN) + a * temperature / (b + temperature);
        return b * gamma / (a - gamma);
    }

    /**
     * Same formula as `meteorology.sea_level_pressure`; NaN if the pressure contradicts the elevation, or if the
     * elevation is unknown or outside the range of the formula.
     */
    private double seaLevelPressure(String station, Summary window) {
        Double elevation = parameters.elevations().get(station);
        double[] r = parameters.reduction();
        double zero = r[0], kp = r[1], lapseRate = r[2], ch = r[3], lowest = r[4], highest = r[5];
        boolean plausible = check(window, QualityControl.PRESSURE_ELEVATION).equals("ok");
        if (!plausible || elevation == null || elevation < lowest || elevation > highest) {
            return Double.NaN;
        }
        double[] magnus = parameters.magnus();
        double temperature = mean(window, Reading.TEMPERATURE);
        double saturated = magnus[2] * Math.exp(magnus[0] * temperature / (magnus[1] + temperature));
        double vapour = saturated * mean(window, Reading.HUMIDITY) / 100;
        double column = temperature + zero + lapseRate * elevation / 2 + ch * vapour;
        return mean(window, Reading.PRESSURE) * Math.pow(10, kp * elevation / column);
    }

    /** Same formula as `meteorology.apparent_temperature`. */
    private double apparentTemperature(Summary window) {
        double[] vapour = parameters.steadmanVapour(), weights = parameters.steadman();
        double temperature = mean(window, Reading.TEMPERATURE);
        double pressure = mean(window, Reading.HUMIDITY) / 100 * vapour[2]
                * Math.exp(vapour[0] * temperature / (vapour[1] + temperature));
        return temperature + weights[0] * pressure + weights[1] * mean(window, Reading.WIND_SPEED) + weights[2];
    }

    private static double mean(Summary window, int variable) {
        Moments moments = window.variables()[variable];
        return moments.n() > 0 ? moments.mean() : Double.NaN;
    }

    private static String quality(Summary window, int variable) {
        if ((window.qcFlags() >> variable & 1) != 0) {
            return "failed";
        }
        boolean present = variable == Reading.WIND_DIRECTION
                ? (window.qcFlags() & QualityControl.HAS_DIRECTION) != 0
                : window.variables()[variable].n() > 0;
        return present ? "ok" : "not_checked";
    }

    private static String check(Summary window, int number) {
        if ((window.qcFlags() & QualityControl.failed(number)) != 0) {
            return "failed";
        }
        return (window.qcFlags() & QualityControl.ok(number)) != 0 ? "ok" : "not_checked";
    }

    private static void number(JsonGenerator json, String name, double value) throws IOException {
        if (Double.isFinite(value)) {
            json.writeNumberField(name, value);
        } else {
            json.writeNullField(name);
        }
    }

    /** Same format as `records.iso`: whole seconds, with milliseconds only if they are not zero. */
    private static String iso(long microseconds) {
        return Instant.EPOCH.plus(microseconds, ChronoUnit.MICROS).truncatedTo(ChronoUnit.MILLIS).toString();
    }
}
