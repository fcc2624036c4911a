package weatherglass;

/**
 * An observation as input of the windows: times in microseconds since 1970, missing values are NaN.
 *
 * @param qcFlags result of {@link QualityControl}; bit i &lt; 5 excludes value i from the aggregates
 */
record Reading(long time, long arrived, long offset, double[] values, int qcFlags) {
    static final int TEMPERATURE = 0;
    static final int HUMIDITY = 1;
    static final int PRESSURE = 2;
    static final int WIND_SPEED = 3;
    static final int WIND_DIRECTION = 4;
    static final int VALUES = 5;

    /** NaN where the value is missing or failed a check. */
    double usable(int variable) {
        return (qcFlags >> variable & 1) == 0 ? values[variable] : Double.NaN;
    }

    /**
     * Whether this reading replaces another one of the same station and time: the later arrival wins, then the higher
     * offset. Offsets alone are not enough: a station can move to another partition if the topic gets more of them.
     */
    boolean supersedes(Reading other) {
        return arrived != other.arrived ? arrived > other.arrived : offset > other.offset;
    }

    boolean hasSameContentAs(Reading other) {
        return qcFlags == other.qcFlags && java.util.Arrays.equals(values, other.values);
    }
}
