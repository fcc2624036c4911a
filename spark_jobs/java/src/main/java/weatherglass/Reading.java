package weatherglass;

/**
 * An observation as the windows need it: times in microseconds since 1970, missing values NaN.
 *
 * @param verdicts what quality control found, as bits; bit i &lt; 5 keeps value i out of the aggregates
 */
record Reading(long time, long arrived, long offset, double[] values, int verdicts) {
    static final int TEMPERATURE = 0;
    static final int HUMIDITY = 1;
    static final int PRESSURE = 2;
    static final int WIND_SPEED = 3;
    static final int WIND_DIRECTION = 4;
    static final int VALUES = 5;

    /** NaN where the value is missing or failed a check. */
    double usable(int variable) {
        return (verdicts >> variable & 1) == 0 ? values[variable] : Double.NaN;
    }

    /**
     * Whether this is the truer one of two readings of the same station and time. By arrival first: a station's
     * messages move to another partition, with offsets of its own, when the topic gets more of them.
     */
    boolean supersedes(Reading other) {
        return arrived != other.arrived ? arrived > other.arrived : offset > other.offset;
    }

    boolean saysTheSameAs(Reading other) {
        return verdicts == other.verdicts && java.util.Arrays.equals(values, other.values);
    }
}
