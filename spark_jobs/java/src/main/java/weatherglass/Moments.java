package weatherglass;

import java.nio.ByteBuffer;
import java.util.Collection;

/**
 * What the statistics of one variable over a stretch of time are made of; two stretches can be joined.
 *
 * <p>Means and sums of squares about the means, so that nothing is lost to cancellation and constant values have no
 * spread at all. Joining: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979.
 *
 * @param meanTime seconds after the start of the stretch's pane, or of the window once it is in one
 */
record Moments(
        int n, double mean, double min, double max, double last, long firstTime, long lastTime,
        double meanTime, double timeTime, double timeValue, double valueValue) {

    static final int BYTES = Integer.BYTES + 10 * Long.BYTES;
    static final Moments NONE = new Moments(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    /** Of the usable values of a variable. */
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

    /** Both together; `later` lies after this one, and its pane starts `seconds` after this one's. */
    Moments and(Moments later, double seconds) {
        if (later.n == 0) {
            return this;
        }
        double theirs = later.meanTime + seconds;
        if (n == 0) {
            return new Moments(later.n, later.mean, later.min, later.max, later.last, later.firstTime, later.lastTime,
                    theirs, later.timeTime, later.timeValue, later.valueValue);
        }
        int both = n + later.n;
        double y = later.mean - mean, t = theirs - meanTime, share = (double) later.n / both, weight = n * share;
        return new Moments(both, mean + y * share, Math.min(min, later.min), Math.max(max, later.max), later.last,
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
