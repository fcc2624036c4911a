package weatherglass;

import java.io.UncheckedIOException;

import com.fasterxml.jackson.core.JsonProcessingException;

/** QcParameters with round limits for three stations, elevations of two of them, and a climate for one. */
final class TestParameters {
    /** Station `lowland` lies at 100 m, `mountain` at 1500 m; the elevation of any other station is unknown. */
    static final String JSON = """
            {"variables": ["temperature", "humidity", "pressure", "wind_speed", "wind_direction"],
             "checks": ["range", "climate", "dew_point", "pressure_elevation"],
             "limits": [[-95, 60], [0, 100], [300, 1100], [0, 75], [0, 360]],
             "tolerances": [0, 5, 0, 0, 0],
             "stationLimits": {
                 "lowland": [[-54, 60], [0, 100], [860, 1093], [0, 75], [0, 360]],
                 "mountain": [[-63, 60], [0, 100], [730, 1093], [0, 75], [0, 360]]},
             "stationPressures": {"lowland": [860, 1081], "mountain": [730, 925], "plateau": [520, 690]},
             "seaLevelPressures": [866, 1093],
             "resolutions": [0.1, 1.0, 0.1, 0.5, 1.0],
             "climate": {"lowland": [
                 [[-10, 15], null, [960, 1040], [0, 30]],
                 [], [], [], [], [], [], [], [], [], [], [[-5, 12]]]},
             "elevations": {"lowland": 100, "mountain": 1500},
             "magnus": [17.62, 243.12, 6.112],
             "reduction": [273.15, 0.0148275, 0.0065, 0.12, -430, 750],
             "steadman": [0.33, -0.70, -4.00],
             "steadmanVapour": [17.27, 237.7, 6.105],
             "highestDewPoint": 36.0}
            """;

    private TestParameters() {
    }

    static QcParameters parameters() {
        try {
            return QcParameters.fromJson(JSON);
        } catch (JsonProcessingException error) {
            throw new UncheckedIOException(error);
        }
    }

    static QualityControl control() {
        try {
            return new QualityControl(JSON);
        } catch (JsonProcessingException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A reading with flags 0; `seconds` after 1970, missing values as NaN. */
    static Reading reading(double seconds, double... values) {
        return new Reading(Math.round(seconds * 1e6), 0, 0, values, 0);
    }
}
