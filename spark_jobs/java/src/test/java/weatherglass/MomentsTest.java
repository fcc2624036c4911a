package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.nio.ByteBuffer;
import java.util.List;

import org.junit.jupiter.api.Test;

/** Expected values are calculated by hand: values 10, 12, 17 at 0, 30, 60 s; mean 13 at 30 s; deviations -3, -1, 4. */
class MomentsTest {
    private static final Moments EXPECTED = new Moments(3, 13, 10, 17, 17, 0, 60_000_000, 30, 1800, 210, 26);

    private static Reading temperature(double seconds, double value) {
        return TestParameters.reading(seconds, value, Double.NaN, Double.NaN, Double.NaN, Double.NaN);
    }

    @Test
    void momentsOfThreeValues() {
        var readings = List.of(temperature(0, 10), temperature(30, 12), temperature(60, 17));

        assertEquals(EXPECTED, Moments.of(readings, Reading.TEMPERATURE, 0));
    }

    @Test
    void mergingTwoPanesGivesTheMomentsOfAllValues() {
        Moments first = Moments.of(List.of(temperature(0, 10), temperature(30, 12)), Reading.TEMPERATURE, 0);
        Moments second = Moments.of(List.of(temperature(60, 17)), Reading.TEMPERATURE, 60_000_000);

        Moments merged = first.merge(second, 60);

        assertEquals(EXPECTED.n(), merged.n());
        assertEquals(EXPECTED.mean(), merged.mean(), 1e-12);
        assertEquals(EXPECTED.min(), merged.min());
        assertEquals(EXPECTED.max(), merged.max());
        assertEquals(EXPECTED.last(), merged.last());
        assertEquals(EXPECTED.firstTime(), merged.firstTime());
        assertEquals(EXPECTED.lastTime(), merged.lastTime());
        assertEquals(EXPECTED.meanTime(), merged.meanTime(), 1e-12);
        assertEquals(EXPECTED.timeTime(), merged.timeTime(), 1e-9);
        assertEquals(EXPECTED.timeValue(), merged.timeValue(), 1e-9);
        assertEquals(EXPECTED.valueValue(), merged.valueValue(), 1e-9);
    }

    @Test
    void minimumAndMaximumOfMergedPanesComeFromEitherPane() {
        Moments low = Moments.of(List.of(temperature(0, -5), temperature(1, 3)), Reading.TEMPERATURE, 0);
        Moments high = Moments.of(List.of(temperature(60, 2), temperature(61, 8)), Reading.TEMPERATURE, 60_000_000);

        assertEquals(-5, low.merge(high, 60).min());
        assertEquals(8, low.merge(high, 60).max());
        assertEquals(-5, high.merge(low, 60).min());
        assertEquals(8, high.merge(low, 60).max());
    }

    @Test
    void mergingWithAnEmptyPaneShiftsOnlyTheMeanTime() {
        assertSame(EXPECTED, EXPECTED.merge(Moments.NONE, 60));
        assertEquals(
                new Moments(3, 13, 10, 17, 17, 0, 60_000_000, 90, 1800, 210, 26), Moments.NONE.merge(EXPECTED, 60));
    }

    @Test
    void missingAndFlaggedValuesAreExcluded() {
        Reading flagged = new Reading(90_000_000, 0, 0, new double[] {99, 0, 0, 0, 0}, 1 << Reading.TEMPERATURE);
        var readings = List.of(
                temperature(0, 10), temperature(10, Double.NaN), temperature(30, 12), temperature(60, 17), flagged);

        assertEquals(EXPECTED, Moments.of(readings, Reading.TEMPERATURE, 0));
        assertSame(Moments.NONE, Moments.of(List.of(flagged), Reading.TEMPERATURE, 0));
    }

    @Test
    void constantValuesHaveNoVarianceEvenIfTheyAreLarge() {
        var readings = List.of(temperature(0, 1e9 + 0.1), temperature(20, 1e9 + 0.1), temperature(40, 1e9 + 0.1));

        assertEquals(0.0, Moments.of(readings, Reading.TEMPERATURE, 0).valueValue());
    }

    @Test
    void writingAndReadingKeepsAllFields() {
        Moments moments = new Moments(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        ByteBuffer bytes = ByteBuffer.allocate(Moments.BYTES);
        moments.write(bytes);

        assertEquals(0, bytes.remaining());
        assertEquals(moments, Moments.read(bytes.flip()));
    }
}
