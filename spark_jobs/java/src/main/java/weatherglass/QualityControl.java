package weatherglass;

import java.time.Instant;
import java.time.ZoneOffset;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.api.java.UDF7;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;

/**
 * Quality control of a single observation. `weatherglass.qc.observation_checks` documents each check and the sources
 * of its limits.
 *
 * <p>The result is a bit set. Bit i &lt; 5: value i is excluded from the aggregates. Bit 5: a valid wind direction is
 * present. Check number c sets bit 8 + 2c if it passed and bit 9 + 2c if it failed, and neither if it was not
 * applicable.
 */
public final class QualityControl implements UDF7<String, Long, Double, Double, Double, Double, Double, Integer> {
    static final int HAS_DIRECTION = 1 << 5;
    private static final int RANGE = 0;
    private static final int CLIMATE = 1;
    private static final int DEW_POINT = 2;
    static final int PRESSURE_ELEVATION = 3;

    private final QcParameters parameters;

    QualityControl(QcParameters parameters) {
        this.parameters = parameters;
    }

    /**
     * The flags of each observation, as a column.
     *
     * @param time microseconds since 1970
     * @param values the five variables, in the order of {@link Reading}; the humidity is at most 100 unless it is
     *         impossible
     * @param parameters JSON of `weatherglass.qc.observation_checks.QcParameters`
     */
    public static Column flags(Column station, Column time, Column[] values, String parameters)
            throws JsonProcessingException {
        QualityControl control = new QualityControl(QcParameters.fromJson(parameters));
        return functions.udf(control, DataTypes.IntegerType)
                .apply(station, time, values[0], values[1], values[2], values[3], values[4]);
    }

    @Override
    public Integer call(String station, Long time, Double temperature, Double humidity, Double pressure, Double speed,
                        Double direction) {
        Double[] values = {temperature, humidity, pressure, speed, direction};
        double[][] limits = parameters.stationLimits().getOrDefault(station, parameters.limits());
        int flags = 0;
        for (int i = 0; i < values.length; i++) {
            if (values[i] != null) {
                flags |= within(values[i], limits[i]) ? ok(RANGE) : failed(RANGE) | 1 << i;
            }
        }
        if (direction != null && within(direction, limits[Reading.WIND_DIRECTION])) {
            flags |= HAS_DIRECTION;
        }
        flags |= climate(station, time, values);
        if (temperature != null && within(temperature, limits[Reading.TEMPERATURE])) {
            flags |= dewPoint(temperature, humidity);
        }
        if (pressure != null && within(pressure, limits[Reading.PRESSURE])) {
            flags |= pressure(station, pressure);
        }
        return flags;
    }

    private int climate(String station, long time, Double[] values) {
        Double[][][] months = parameters.climate().get(station);
        if (months == null) {
            return 0;
        }
        int month = Instant.ofEpochSecond(Math.floorDiv(time, 1_000_000L)).atOffset(ZoneOffset.UTC).getMonthValue();
        int flags = 0;
        for (int i = 0; i < months[month - 1].length; i++) {
            Double[] limits = months[month - 1][i];
            if (values[i] != null && limits != null) {
                boolean inRange = values[i] >= limits[0] && values[i] <= limits[1];
                flags |= inRange ? ok(CLIMATE) : failed(CLIMATE) | 1 << i;
            }
        }
        return flags;
    }

    private int dewPoint(double temperature, Double humidity) {
        if (humidity == null || humidity <= 0) {
            return 0;
        }
        double a = parameters.magnus()[0], b = parameters.magnus()[1];
        double gamma = Math.log(humidity / 100) + a * temperature / (b + temperature);
        if (humidity > 100) {
            return failed(DEW_POINT) | 1 << Reading.HUMIDITY;
        }
        return b * gamma / (a - gamma) <= parameters.highestDewPoint()
                ? ok(DEW_POINT)
                : failed(DEW_POINT) | 1 << Reading.TEMPERATURE | 1 << Reading.HUMIDITY;
    }

    private int pressure(String station, double pressure) {
        double[] atElevation = parameters.stationPressures().get(station);
        if (atElevation == null) {
            return 0;
        }
        if (within(pressure, atElevation)) {
            return ok(PRESSURE_ELEVATION);
        }
        boolean fitsSeaLevel = within(pressure, parameters.seaLevelPressures());
        return failed(PRESSURE_ELEVATION) | (fitsSeaLevel ? 0 : 1 << Reading.PRESSURE);
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
