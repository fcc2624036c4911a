package weatherglass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;

import org.junit.jupiter.api.Test;

class PaneTest {
    private static Reading reading(long time, long arrived, long offset, double temperature) {
        return new Reading(time, arrived, offset, new double[] {temperature, 50, 1000, 3, 90}, 0);
    }

    private static double temperature(Pane pane) {
        return pane.readings().iterator().next().values()[Reading.TEMPERATURE];
    }

    @Test
    void aDuplicateChangesNothing() {
        Pane pane = new Pane();

        assertTrue(pane.add(reading(1, 10, 5, 20), "replay"));
        assertFalse(pane.add(reading(1, 10, 5, 20), "replay"));
        assertFalse(pane.add(reading(1, 11, 6, 20), "replay"));
        assertEquals(1, pane.readings().size());
    }

    @Test
    void theReadingThatArrivedLastWins() {
        Pane pane = new Pane();
        pane.add(reading(1, 10, 5, 20), "replay");

        assertFalse(pane.add(reading(1, 9, 99, 30), "replay"));
        assertEquals(20, temperature(pane));
        assertTrue(pane.add(reading(1, 11, 0, 21), "replay"));
        assertEquals(21, temperature(pane));
    }

    @Test
    void theHigherOffsetWinsIfTheArrivalIsEqual() {
        Pane pane = new Pane();
        pane.add(reading(1, 10, 5, 20), "replay");

        assertFalse(pane.add(reading(1, 10, 4, 30), "replay"));
        assertTrue(pane.add(reading(1, 10, 6, 21), "replay"));
        assertEquals(21, temperature(pane));
    }

    @Test
    void theSourceIsThatOfTheNewestReading() {
        Pane pane = new Pane();
        pane.add(reading(2, 10, 5, 20), "open-meteo");
        pane.add(reading(1, 11, 6, 20), "replay");

        assertEquals("open-meteo", pane.source());
        pane.add(reading(3, 12, 7, 20), null);
        assertNull(pane.source());
    }

    @Test
    void decodingAnEncodedPaneRestoresReadingsAndSource() {
        Pane pane = new Pane();
        pane.add(new Reading(2, 11, 6, new double[] {1, Double.NaN, 3, 4, 5}, 0x21), "Zürich");
        pane.add(new Reading(1, 10, 5, new double[] {6, 7, 8, 9, 10}, 0), "replay");

        Pane decoded = Pane.decoded(pane.encoded());

        assertEquals("Zürich", decoded.source());
        var readings = new ArrayList<>(decoded.readings());
        assertEquals(2, readings.size());
        assertEquals(1, readings.get(0).time());
        Reading second = readings.get(1);
        assertEquals(2, second.time());
        assertEquals(11, second.arrived());
        assertEquals(6, second.offset());
        assertEquals(0x21, second.qcFlags());
        assertArrayEquals(new double[] {1, Double.NaN, 3, 4, 5}, second.values());
    }

    @Test
    void aPaneWithoutSourceIsRestoredWithoutSource() {
        Pane pane = new Pane();
        pane.add(reading(1, 10, 5, 20), null);

        assertNull(Pane.decoded(pane.encoded()).source());
    }

    @Test
    void anotherFormatIsRefused() {
        byte[] encoded = new Pane().encoded();
        encoded[0]++;

        assertThrows(IllegalStateException.class, () -> Pane.decoded(encoded));
    }
}
