package weatherglass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import org.junit.jupiter.api.Test;

class SummaryTest {
    private static final double NONE = Double.NaN;

    private static Pane pane(String source, Reading... readings) {
        Pane pane = new Pane();
        for (Reading reading : readings) {
            pane.add(reading, source);
        }
        return pane;
    }

    private static Reading wind(double seconds, double speed, double direction) {
        return TestParameters.reading(seconds, NONE, NONE, NONE, speed, direction);
    }

    @Test
    void windIsSummedAsVectorsThatPointWhereTheAirMoves() {
        // 5 m/s from the east move the air to the west, 3 m/s from the south to the north
        Summary summary = Summary.of(pane("replay", wind(0, 5, 90), wind(1, 3, 180)), 0);

        assertEquals(2, summary.winds());
        assertEquals(-5, summary.u(), 1e-12);
        assertEquals(3, summary.v(), 1e-12);
        assertEquals(8, summary.speed());
    }

    @Test
    void aCalmCountsAsAZeroVectorWithOrWithoutDirection() {
        Summary summary = Summary.of(pane("replay", wind(0, 0, NONE), wind(1, 0, 90), wind(2, 4, 360)), 0);

        assertEquals(3, summary.winds());
        assertEquals(0, summary.u(), 1e-12);
        assertEquals(-4, summary.v(), 1e-12);
        assertEquals(4, summary.speed());
    }

    @Test
    void windWithoutSpeedOrDirectionIsNotCounted() {
        Summary summary = Summary.of(pane("replay", wind(0, NONE, 90), wind(1, 5, NONE)), 0);

        assertEquals(0, summary.winds());
        assertEquals(0, summary.speed());
        assertEquals(1, summary.variables()[Reading.WIND_SPEED].n());
    }

    @Test
    void flagsOfAllReadingsAreCombined() {
        Reading first = new Reading(0, 0, 0, new double[] {1, 1, 1, 1, 1}, 0b0101);
        Reading second = new Reading(7, 0, 0, new double[] {1, 1, 1, 1, 1}, 0b0011);

        Summary summary = Summary.of(pane("replay", first, second), 0);

        assertEquals(0b0111, summary.qcFlags());
        assertEquals(2, summary.count());
        assertEquals(7, summary.lastTime());
    }

    @Test
    void mergingAddsCountsAndTakesTimeAndSourceOfTheLaterPane() {
        Summary first = Summary.of(pane("open-meteo", TestParameters.reading(0, 10, 40, 1000, 5, 90)), 0);
        Summary second = Summary.of(pane("replay", TestParameters.reading(60, 14, 60, 1004, 3, 180)), 60_000_000);

        Summary merged = first.merge(second, 60);

        assertEquals(2, merged.count());
        assertEquals(60_000_000, merged.lastTime());
        assertEquals("replay", merged.source());
        assertEquals(2, merged.winds());
        assertEquals(-5, merged.u(), 1e-12);
        assertEquals(3, merged.v(), 1e-12);
        assertEquals(8, merged.speed());
        assertEquals(12, merged.variables()[Reading.TEMPERATURE].mean(), 1e-12);
        assertEquals(50, merged.variables()[Reading.HUMIDITY].mean(), 1e-12);
        assertEquals(1002, merged.variables()[Reading.PRESSURE].mean(), 1e-12);
        assertEquals(4, merged.variables()[Reading.WIND_SPEED].mean(), 1e-12);
        assertEquals(30, merged.variables()[Reading.TEMPERATURE].meanTime(), 1e-12);
        assertSame(merged, merged.merge(Summary.NONE, 60));
    }

    @Test
    void decodingAnEncodedSummaryRestoresAllFields() {
        Moments[] variables = {
            new Moments(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), Moments.NONE,
            new Moments(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), Moments.NONE};

        Summary decoded = Summary.decoded(new Summary(3, 4, "Zürich", 5, variables, 6, 7, 8, 9).encoded());

        assertEquals(3, decoded.count());
        assertEquals(4, decoded.lastTime());
        assertEquals("Zürich", decoded.source());
        assertEquals(5, decoded.qcFlags());
        assertArrayEquals(variables, decoded.variables());
        assertEquals(6, decoded.winds());
        assertEquals(7, decoded.u());
        assertEquals(8, decoded.v());
        assertEquals(9, decoded.speed());
        assertNull(Summary.decoded(Summary.NONE.encoded()).source());
    }
}
