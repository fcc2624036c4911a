package weatherglass;

import java.nio.ByteBuffer;
import java.util.Collection;

/**
 * Mergeable statistics of one variable over a time interval.
 *
 * <p>Stores means and sums of squares about the means, which avoids cancellation: constant values have a variance of
 * exactly zero. Merging: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979.
 *
 * @param n number of values
 * @param firstTime time of the first value, microseconds since 1970
 * @param lastTime time of the last value, microseconds since 1970
 * @param meanTime mean time of the values, seconds after the start of the pane, or of the window after merging
 * @param timeTime sum of squared time deviations, s²
 * @param timeValue sum of products of time and value deviations
 * @param valueValue sum of squared value deviations
 */
record Moments(
        int n, double mean, double min, double max, double last, long firstTime, long lastTime,
        double meanTime, double timeTime, double timeValue, double valueValue) {

    static final int BYTES = Integer.BYTES + 10 * Long.BYTES;
    static final Moments NONE = new Moments(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    /** Moments of the values of a variable that passed quality control. */
    static Moments of(Collection<Reading> readings, int variable, long start) {
        int n = 0;
        double first = 0, min = 0, max = 0, last = 0, sumValue = 0, sumTime = 0;
        long firstTime = 0, lastTime = 0;
        for (Reading reading : readings) {
            double value = reading.usable(variable);
            if (Double.isNaN(value)) {
                continue;
            }
            if (n++ == 0) {
                first = min = max = value;
                firstTime = reading.time();
            }
            min = Math.min(min, value);
            max = Math.max(max, value);
            last = value;
            lastTime = reading.time();
            sumValue += value - first;
            sumTime += seconds(reading, start);
        }
        if (n == 0) {
            return NONE;
        }
        double mean = first + sumValue / n, meanTime = sumTime / n, tt = 0, ty = 0, yy = 0;
        for (Reading reading : readings) {
            double value = reading.usable(variable);
            if (!Double.isNaN(value)) {
                double t = seconds(reading, start) - meanTime, y = value - mean;
                tt += t * t;
                ty += t * y;
                yy += y * y;
            }
        }
        return new Moments(n, mean, min, max, last, firstTime, lastTime, meanTime, tt, ty, yy);
    }

    /** Moments of both intervals. `later` follows this one; its pane starts `seconds` after the start of this. */
    Moments merge(Moments later, double seconds) {
        if (later.n == 0) {
            return this;
        }
        double laterMeanTime = later.meanTime + seconds;
        if (n == 0) {
            return new Moments(later.n, later.mean, later.min, later.max, later.last, later.firstTime, later.lastTime,
                    laterMeanTime, later.timeTime, later.timeValue, later.valueValue);
        }
        int total = n + later.n;
        double y = later.mean - mean, t = laterMeanTime - meanTime;
        double share = (double) later.n / total, weight = n * share;
        return new Moments(total, mean + y * share, Math.min(min, later.min), Math.max(max, later.max), later.last,
                firstTime, later.lastTime, meanTime + t * share, timeTime + later.timeTime + t * t * weight,
                timeValue + later.timeValue + t * y * weight, valueValue + later.valueValue + y * y * weight);
    }

    void write(ByteBuffer bytes) {
        bytes.putInt(n).putDouble(mean).putDouble(min).putDouble(max).putDouble(last).putLong(firstTime)
                .putLong(lastTime).putDouble(meanTime).putDouble(timeTime).putDouble(timeValue).putDouble(valueValue);
    }

    static Moments read(ByteBuffer bytes) {
        return new Moments(bytes.getInt(), bytes.getDouble(), bytes.getDouble(), bytes.getDouble(), bytes.getDouble(),
                bytes.getLong(), bytes.getLong(), bytes.getDouble(), bytes.getDouble(), bytes.getDouble(),
                bytes.getDouble());
    }

    private static double seconds(Reading reading, long start) {
        return (reading.time() - start) / 1e6;
    }
}
