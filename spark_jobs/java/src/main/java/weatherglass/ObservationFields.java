package weatherglass;

import java.util.Arrays;

/** The fields of a message, which {@link ObservationParser} reads; one object is used for many messages. */
final class ObservationFields {
    /** Null if missing. */
    String station;
    /** Microseconds since 1970, truncated to milliseconds; only of a valid observation. */
    long time;
    /** In the order of {@link Reading}; NaN if missing. */
    final double[] values = new double[Reading.VALUES];

    void clear() {
        station = null;
        time = 0;
        Arrays.fill(values, Double.NaN);
    }
}
