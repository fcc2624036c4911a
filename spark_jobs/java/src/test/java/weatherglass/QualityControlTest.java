package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class QualityControlTest {
    private static final int RANGE = 0;
    private static final int CLIMATE = 1;
    private static final int DEW_POINT = 2;
    private static final int PRESSURE = 3;

    /** 2026-01-05T12:15:00Z. */
    private static final long JANUARY = 1_767_615_300_000_000L;
    private static final long FEBRUARY = JANUARY + 31L * 86_400_000_000L;

    private static int flags(String station, long time, Double... values) {
        double[] present = new double[values.length];
        for (int i = 0; i < present.length; i++) {
            present[i] = values[i] == null ? Double.NaN : values[i];
        }
        return TestParameters.control().flags(station, time, present);
    }

    private static int flags(String station, Double... values) {
        return flags(station, FEBRUARY, values);
    }

    private static Double[] only(int variable, double value) {
        Double[] values = new Double[Reading.VALUES];
        values[variable] = value;
        return values;
    }

    private static String check(int flags, int number) {
        boolean ok = (flags >> 8 + 2 * number & 1) != 0, failed = (flags >> 9 + 2 * number & 1) != 0;
        return ok && failed ? "both" : ok ? "ok" : failed ? "failed" : "not_checked";
    }

    private static int excluded(int flags) {
        return flags & 0b11111;
    }

    @ParameterizedTest
    @CsvSource({
        "0, -95, ok", "0, -95.01, failed", "0, 60, ok", "0, 60.01, failed",
        "1, 0, ok", "1, -0.01, failed", "1, 100, ok", "1, 100.01, failed",
        "2, 300, ok", "2, 299.9, failed", "2, 1100, ok", "2, 1100.1, failed",
        "3, 0, ok", "3, -0.1, failed", "3, 75, ok", "3, 75.1, failed",
        "4, 0, ok", "4, -1, failed", "4, 360, ok", "4, 361, failed"})
    void aValueIsValidUpToItsLimits(int variable, double value, String result) {
        int flags = flags("unknown", only(variable, value));

        assertEquals(result, check(flags, RANGE));
        assertEquals(result.equals("ok") ? 0 : 1 << variable, excluded(flags));
    }

    @ParameterizedTest
    @CsvSource({
        "lowland, 0, -54, ok", "lowland, 0, -54.1, failed", "mountain, 0, -63, ok", "mountain, 0, -63.1, failed",
        "lowland, 2, 860, ok", "lowland, 2, 859.9, failed", "mountain, 2, 730, ok", "mountain, 2, 729.9, failed"})
    void theLimitsOfAKnownStationReplaceTheGeneralOnes(String station, int variable, double value, String result) {
        int flags = flags(station, only(variable, value));

        assertEquals(result, check(flags, RANGE));
        assertEquals(result.equals("ok") ? 0 : 1 << variable, excluded(flags));
    }

    @ParameterizedTest
    @CsvSource({"100, 100, ok", "100.1, 100, ok", "105, 100, ok", "105.1, 105.1, failed"})
    void aHumidityWithinTheToleranceCountsAs100(double humidity, double used, String result) {
        Reading reading = TestParameters.control().reading(
                "unknown", JANUARY, 2, 3, new double[] {20, humidity, 1000, 80, 90});

        assertEquals(used, reading.values()[Reading.HUMIDITY]);
        assertEquals(result, check(reading.qcFlags() & ~QualityControl.failed(RANGE), DEW_POINT));
        assertEquals(80, reading.values()[Reading.WIND_SPEED]);
        assertEquals(JANUARY, reading.time());
        assertEquals(2, reading.arrived());
        assertEquals(3, reading.offset());
    }

    @Test
    void aTemperatureThatIsImpossibleAtTheStationHasNoDewPoint() {
        assertEquals("not_checked", check(flags("lowland", -60.0, 50.0, null, null, null), DEW_POINT));
        assertEquals("ok", check(flags("unknown", -60.0, 50.0, null, null, null), DEW_POINT));
    }

    @Test
    void withoutValuesNothingIsChecked() {
        assertEquals(0, flags("lowland", JANUARY, new Double[Reading.VALUES]));
    }

    @Test
    void oneValidAndOneInvalidValueSetBothBitsOfTheRangeCheck() {
        int flags = flags("unknown", 20.0, null, 10.0, null, null);

        assertEquals("both", check(flags, RANGE));
        assertEquals(1 << Reading.PRESSURE, excluded(flags));
    }

    @Test
    void onlyAValidDirectionSetsTheBitOfTheDirection() {
        assertEquals(QualityControl.HAS_DIRECTION, flags("unknown", only(4, 90)) & QualityControl.HAS_DIRECTION);
        assertEquals(0, flags("unknown", only(4, 361)) & QualityControl.HAS_DIRECTION);
        assertEquals(0, flags("unknown", only(3, 5)) & QualityControl.HAS_DIRECTION);
    }

    @ParameterizedTest
    @CsvSource({"-10, ok", "-10.01, failed", "15, ok", "15.01, failed"})
    void theClimateOfTheMonthLimitsTheTemperature(double temperature, String result) {
        int flags = flags("lowland", JANUARY, only(Reading.TEMPERATURE, temperature));

        assertEquals(result, check(flags, CLIMATE));
        assertEquals(result.equals("ok") ? 0 : 1, excluded(flags));
    }

    @Test
    void theClimateIsCheckedOnlyForKnownStationsMonthsAndVariables() {
        assertEquals("not_checked", check(flags("mountain", JANUARY, only(Reading.TEMPERATURE, 50)), CLIMATE));
        assertEquals("not_checked", check(flags("lowland", FEBRUARY, only(Reading.TEMPERATURE, 50)), CLIMATE));
        assertEquals("not_checked", check(flags("lowland", JANUARY, only(Reading.HUMIDITY, 50)), CLIMATE));
        assertEquals("failed", check(flags("lowland", JANUARY, only(Reading.WIND_SPEED, 30.1)), CLIMATE));
    }

    @Test
    void theMonthIsThatOfUtc() {
        long december = 1_767_225_600_000_000L - 1;

        assertEquals("failed", check(flags("lowland", december, only(Reading.TEMPERATURE, 13)), CLIMATE));
        assertEquals("ok", check(flags("lowland", december + 1, only(Reading.TEMPERATURE, 13)), CLIMATE));
    }

    @ParameterizedTest
    @CsvSource({
        "20, 50, ok, 0",
        "20, 100, ok, 0",
        "20, 100.5, failed, 2",
        "36, 99.9, ok, 0",
        "36.1, 100, failed, 3",
        "40, 80, ok, 0",
        "40, 82, failed, 3",
        "20, 0, not_checked, 0",
        "60.5, 50, not_checked, 1"})
    void theDewPointIsAtMostTheTemperatureAnd36Degrees(
            double temperature, double humidity, String result, int excluded) {
        int flags = flags("unknown", temperature, humidity, null, null, null);

        assertEquals(result, check(flags, DEW_POINT));
        assertEquals(excluded, excluded(flags));
    }

    /** A vane keeps its last direction in a calm, and north may be 0. */
    @ParameterizedTest
    @CsvSource({"0, 0", "0, 90", "0, 360", "0.1, 90", "5, 0", "5, 360"})
    void speedAndDirectionAreNotCompared(double speed, double direction) {
        int flags = flags("unknown", null, null, null, speed, direction);

        assertEquals(QualityControl.ok(RANGE) | QualityControl.HAS_DIRECTION, flags);
    }

    /** Possible are 730 to 925 hPa on the mountain, and 866 to 1093 hPa at sea level. */
    @ParameterizedTest
    @CsvSource({
        "mountain, 845.6, ok, 0",
        "mountain, 925, ok, 0",
        "mountain, 925.1, failed, 0",
        "mountain, 730, ok, 0",
        "mountain, 729.9, not_checked, 4",
        "mountain, 1093, failed, 0",
        "mountain, 1093.1, not_checked, 4",
        "plateau, 700, failed, 4",
        "plateau, 866, failed, 0",
        "lowland, 860, ok, 0",
        "lowland, 1081, ok, 0",
        "lowland, 1081.1, failed, 0",
        "unknown, 700, not_checked, 0"})
    void thePressureMatchesTheElevationOrTheSeaLevel(String station, double pressure, String result, int excluded) {
        int flags = flags(station, only(Reading.PRESSURE, pressure));

        assertEquals(result, check(flags, PRESSURE));
        assertEquals(excluded, excluded(flags));
    }
}
