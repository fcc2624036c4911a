package weatherglass;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * All that a window needs to know of a pane, and of a window once panes are joined.
 *
 * @param source where the newest observation came from; null where it did not say
 * @param verdicts of all observations, or-ed together
 */
record Summary(int count, long lastTime, String source, int verdicts, Moments[] variables,
               int winds, double u, double v, double speed) {

    static final int VARIABLES = 4;
    static final Summary NONE = new Summary(0, 0, null, 0,
            new Moments[] {Moments.NONE, Moments.NONE, Moments.NONE, Moments.NONE}, 0, 0, 0, 0);

    static Summary of(Pane pane, long start) {
        Moments[] variables = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            variables[i] = Moments.of(pane.readings(), i, start);
        }
        int verdicts = 0, winds = 0;
        long last = 0;
        double u = 0, v = 0, total = 0;
        for (Reading reading : pane.readings()) {
            verdicts |= reading.verdicts();
            last = reading.time();
            double speed = reading.usable(Reading.WIND_SPEED);
            // a calm is a zero vector, whatever its direction
            double angle = speed == 0 ? 0 : Math.toRadians(reading.usable(Reading.WIND_DIRECTION));
            if (!Double.isNaN(speed) && !Double.isNaN(angle)) {
                winds++;
                u -= speed * Math.sin(angle);
                v -= speed * Math.cos(angle);
                total += speed;
            }
        }
        return new Summary(pane.readings().size(), last, pane.source(), verdicts, variables, winds, u, v, total);
    }

    Summary and(Summary later, double seconds) {
        if (later.count == 0) {
            return this;
        }
        Moments[] both = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            both[i] = variables[i].and(later.variables[i], seconds);
        }
        return new Summary(count + later.count, later.lastTime, later.source, verdicts | later.verdicts, both,
                winds + later.winds, u + later.u, v + later.v, speed + later.speed);
    }

    byte[] encoded() {
        byte[] text = source == null ? new byte[0] : source.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(48 + VARIABLES * Moments.BYTES + text.length);
        bytes.putInt(count).putLong(lastTime).putInt(verdicts);
        for (Moments variable : variables) {
            variable.write(bytes);
        }
        bytes.putInt(winds).putDouble(u).putDouble(v).putDouble(speed);
        return bytes.putInt(source == null ? -1 : text.length).put(text).array();
    }

    static Summary decoded(byte[] encoded) {
        ByteBuffer bytes = ByteBuffer.wrap(encoded);
        int count = bytes.getInt();
        long last = bytes.getLong();
        int verdicts = bytes.getInt();
        Moments[] variables = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            variables[i] = Moments.read(bytes);
        }
        int winds = bytes.getInt();
        double u = bytes.getDouble(), v = bytes.getDouble(), speed = bytes.getDouble();
        int length = bytes.getInt();
        String source = length < 0 ? null : new String(encoded, bytes.position(), length, StandardCharsets.UTF_8);
        return new Summary(count, last, source, verdicts, variables, winds, u, v, speed);
    }
}
