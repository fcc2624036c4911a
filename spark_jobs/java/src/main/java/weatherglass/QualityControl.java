package weatherglass;

import java.time.Instant;
import java.time.ZoneOffset;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.api.java.UDF7;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;

/**
 * The checks that one observation alone allows; what each means and where its limits come from is said in
 * `weatherglass.qc.observation_checks`.
 *
 * <p>The result is a set of bits: bit i &lt; 5 says that value i must stay out of the aggregates, bit 5 that there is a
 * direction of the wind; check number c has bit 8 + 2c where it was passed and bit 9 + 2c where it failed,
 * neither where it was not made.
 */
public final class QualityControl implements UDF7<String, Long, Double, Double, Double, Double, Double, Integer> {
    static final int HAS_DIRECTION = 1 << 5;
    private static final int RANGE = 0;
    private static final int CLIMATE = 1;
    private static final int DEW_POINT = 2;
    private static final int WIND = 3;
    static final int PRESSURE_ELEVATION = 4;

    private final Rules rules;

    private QualityControl(Rules rules) {
        this.rules = rules;
    }

    /**
     * @param values the five variables, in their order
     * @param rules the JSON of `weatherglass.qc.observation_checks.Rules`
     */
    public static Column verdicts(Column station, Column time, Column[] values, String rules)
            throws JsonProcessingException {
        QualityControl control = new QualityControl(Rules.parsed(rules));
        return functions.udf(control, DataTypes.IntegerType)
                .apply(station, time, values[0], values[1], values[2], values[3], values[4]);
    }

    @Override
    public Integer call(String station, Long time, Double temperature, Double humidity, Double pressure, Double speed,
                        Double direction) {
        Double[] values = {temperature, humidity, pressure, speed, direction};
        int verdicts = 0;
        for (int i = 0; i < values.length; i++) {
            if (values[i] != null) {
                verdicts |= within(values[i], rules.limits()[i]) ? ok(RANGE) : failed(RANGE) | 1 << i;
            }
        }
        if (direction != null && within(direction, rules.limits()[Reading.WIND_DIRECTION])) {
            verdicts |= HAS_DIRECTION;
        }
        verdicts |= climate(station, time, values);
        verdicts |= dewPoint(temperature, humidity);
        if (speed != null && direction != null) {
            verdicts |= speed == 0 && direction != 0 ? failed(WIND) : ok(WIND);
        }
        return verdicts | pressure(station, pressure);
    }

    private int climate(String station, long time, Double[] values) {
        Double[][][] months = rules.climate().get(station);
        if (months == null) {
            return 0;
        }
        int month = Instant.ofEpochSecond(Math.floorDiv(time, 1_000_000L)).atOffset(ZoneOffset.UTC).getMonthValue();
        int verdicts = 0;
        for (int i = 0; i < months[month - 1].length; i++) {
            Double[] limits = months[month - 1][i];
            if (values[i] != null && limits != null) {
                boolean usual = values[i] >= limits[0] && values[i] <= limits[1];
                verdicts |= usual ? ok(CLIMATE) : failed(CLIMATE) | 1 << i;
            }
        }
        return verdicts;
    }

    private int dewPoint(Double temperature, Double humidity) {
        if (temperature == null || humidity == null || humidity <= 0
                || !within(temperature, rules.limits()[Reading.TEMPERATURE])) {
            return 0;
        }
        double a = rules.magnus()[0], b = rules.magnus()[1];
        double gamma = Math.log(humidity / 100) + a * temperature / (b + temperature);
        if (humidity > 100) {
            return failed(DEW_POINT) | 1 << Reading.HUMIDITY;
        }
        return b * gamma / (a - gamma) <= rules.highestDewPoint()
                ? ok(DEW_POINT)
                : failed(DEW_POINT) | 1 << Reading.TEMPERATURE | 1 << Reading.HUMIDITY;
    }

    private int pressure(String station, Double pressure) {
        Double elevation = rules.elevations().get(station);
        if (pressure == null || elevation == null || !within(pressure, rules.limits()[Reading.PRESSURE])) {
            return 0;
        }
        if (Math.abs(pressure - standard(elevation)) <= rules.pressureTolerance()) {
            return ok(PRESSURE_ELEVATION);
        }
        boolean ofTheSea = Math.abs(pressure - standard(0)) <= rules.pressureTolerance();
        return failed(PRESSURE_ELEVATION) | (ofTheSea ? 0 : 1 << Reading.PRESSURE);
    }

    /** The standard atmosphere's pressure, hPa, at an elevation, m. Source: ISO 2533:1975. */
    private static double standard(double elevation) {
        return 1013.25 * Math.pow(1 - 0.0065 * elevation / 288.15, 5.25588);
    }

    private static boolean within(double value, double[] limits) {
        return value >= limits[0] && value <= limits[1];
    }

    static int ok(int check) {
        return 1 << 8 + 2 * check;
    }

    static int failed(int check) {
        return 2 << 8 + 2 * check;
    }
}
