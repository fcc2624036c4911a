package weatherglass;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Mergeable aggregate of a pane, or of a window after its panes are merged.
 *
 * @param source source of the newest observation; null if unknown
 * @param qcFlags flags of all observations, combined by bitwise or
 * @param winds number of observations with speed and direction
 * @param u sum of the wind components towards east, m/s
 * @param v sum of the wind components towards north, m/s
 * @param speed sum of the wind speeds, m/s
 */
record Summary(int count, long lastTime, String source, int qcFlags, Moments[] variables,
               int winds, double u, double v, double speed) {

    static final int VARIABLES = 4;
    static final Summary NONE = new Summary(0, 0, null, 0,
            new Moments[] {Moments.NONE, Moments.NONE, Moments.NONE, Moments.NONE}, 0, 0, 0, 0);

    static Summary of(Pane pane, long start) {
        Moments[] variables = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            variables[i] = Moments.of(pane.readings(), i, start);
        }
        int qcFlags = 0, winds = 0;
        long last = 0;
        double u = 0, v = 0, total = 0;
        for (Reading reading : pane.readings()) {
            qcFlags |= reading.qcFlags();
            last = reading.time();
            double speed = reading.usable(Reading.WIND_SPEED);
            // A calm is a zero vector, independent of its direction.
            double angle = speed == 0 ? 0 : Math.toRadians(reading.usable(Reading.WIND_DIRECTION));
            if (!Double.isNaN(speed) && !Double.isNaN(angle)) {
                winds++;
                u -= speed * Math.sin(angle);
                v -= speed * Math.cos(angle);
                total += speed;
            }
        }
        return new Summary(pane.readings().size(), last, pane.source(), qcFlags, variables, winds, u, v, total);
    }

    /** Aggregate of both intervals. `later` follows this one; its pane starts `seconds` after the start of this. */
    Summary merge(Summary later, double seconds) {
        if (later.count == 0) {
            return this;
        }
        Moments[] merged = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            merged[i] = variables[i].merge(later.variables[i], seconds);
        }
        return new Summary(count + later.count, later.lastTime, later.source, qcFlags | later.qcFlags, merged,
                winds + later.winds, u + later.u, v + later.v, speed + later.speed);
    }

    byte[] encoded() {
        byte[] text = source == null ? new byte[0] : source.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(48 + VARIABLES * Moments.BYTES + text.length);
        bytes.putInt(count).putLong(lastTime).putInt(qcFlags);
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
        int qcFlags = bytes.getInt();
        Moments[] variables = new Moments[VARIABLES];
        for (int i = 0; i < VARIABLES; i++) {
            variables[i] = Moments.read(bytes);
        }
        int winds = bytes.getInt();
        double u = bytes.getDouble(), v = bytes.getDouble(), speed = bytes.getDouble();
        int length = bytes.getInt();
        String source = length < 0 ? null : new String(encoded, bytes.position(), length, StandardCharsets.UTF_8);
        return new Summary(count, last, source, qcFlags, variables, winds, u, v, speed);
    }
}
