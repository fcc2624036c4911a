package weatherglass;

import java.io.Serializable;
import java.time.Instant;
import java.time.ZoneOffset;

import com.fasterxml.jackson.core.JsonProcessingException;

/**
 * Quality control of a single observation. `weatherglass.qc.observation_checks` documents each check and the sources
 * of its limits.
 *
 * <p>The result is a bit set. Bit i &lt; 5: value i is excluded from the aggregates. Bit 5: a valid wind direction is
 * present. Check number c sets bit 8 + 2c if it passed and bit 9 + 2c if it failed, and neither if it was not
 * applicable.
 */
public final class QualityControl implements Serializable {
    static final int HAS_DIRECTION = 1 << 5;
    private static final int RANGE = 0;
    private static final int CLIMATE = 1;
    private static final int DEW_POINT = 2;
    static final int PRESSURE_ELEVATION = 3;

    private final QcParameters parameters;

    /** @param parameters JSON of `weatherglass.qc.observation_checks.QcParameters` */
    public QualityControl(String parameters) throws JsonProcessingException {
        this.parameters = QcParameters.fromJson(parameters);
    }

    /** Names of the checks, in the order of their bits. */
    String[] checks() {
        return parameters.checks();
    }

    /**
     * An observation with the result of its checks. A value within the tolerance above its range becomes the end of the
     * range before it is checked.
     *
     * @param values the five variables in the order of {@link Reading}; NaN if missing
     */
    Reading reading(String station, long time, long arrived, long offset, double[] values) {
        double[] used = values.clone();
        for (int i = 0; i < used.length; i++) {
            double highest = parameters.limits()[i][1];
            if (used[i] > highest && used[i] <= highest + parameters.tolerances()[i]) {
                used[i] = highest;
            }
        }
        return new Reading(time, arrived, offset, used, flags(station, time, used));
    }

    int flags(String station, long time, double[] values) {
        double[][] limits = parameters.stationLimits().getOrDefault(station, parameters.limits());
        int flags = 0;
        for (int i = 0; i < values.length; i++) {
            if (!Double.isNaN(values[i])) {
                flags |= within(values[i], limits[i]) ? ok(RANGE) : failed(RANGE) | 1 << i;
            }
        }
        if (within(values[Reading.WIND_DIRECTION], limits[Reading.WIND_DIRECTION])) {
            flags |= HAS_DIRECTION;
        }
        flags |= climate(station, time, values);
        if (within(values[Reading.TEMPERATURE], limits[Reading.TEMPERATURE])) {
            flags |= dewPoint(values[Reading.TEMPERATURE], values[Reading.HUMIDITY]);
        }
        if (within(values[Reading.PRESSURE], limits[Reading.PRESSURE])) {
            flags |= pressure(station, values[Reading.PRESSURE]);
        }
        return flags;
    }

    private int climate(String station, long time, double[] values) {
        Double[][][] months = parameters.climate().get(station);
        if (months == null) {
            return 0;
        }
        int month = Instant.ofEpochSecond(Math.floorDiv(time, 1_000_000L)).atOffset(ZoneOffset.UTC).getMonthValue();
        int flags = 0;
        for (int i = 0; i < months[month - 1].length; i++) {
            Double[] limits = months[month - 1][i];
            if (!Double.isNaN(values[i]) && limits != null) {
                boolean inRange = values[i] >= limits[0] && values[i] <= limits[1];
                flags |= inRange ? ok(CLIMATE) : failed(CLIMATE) | 1 << i;
            }
        }
        return flags;
    }

    private int dewPoint(double temperature, double humidity) {
        if (Double.isNaN(humidity) || humidity <= 0) {
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

    /** False if the value is missing. */
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
