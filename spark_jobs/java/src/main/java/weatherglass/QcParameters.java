package weatherglass;

import java.io.Serializable;
import java.util.Map;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Limits of quality control and constants of the formulas, documented in `weatherglass.qc.observation_checks` and
 * `weatherglass.meteorology`.
 *
 * @param variables names of the five variables, in the order of {@link Reading}
 * @param checks names of the checks, in order
 * @param limits lowest and highest value of each variable that is possible anywhere
 * @param tolerances how far a value of each variable above its highest value still counts as the highest value
 * @param stationLimits station id -> limits at the station; for other stations, `limits` apply
 * @param stationPressures station id -> lowest and highest pressure at its elevation, hPa
 * @param seaLevelPressures lowest and highest pressure at sea level, hPa
 * @param resolutions instrument resolution of each variable
 * @param climate station id -> month -> variable -> lowest and highest value, null if unknown
 * @param elevations station id -> elevation, m
 * @param magnus coefficients A, B and E of the Magnus formula
 * @param reduction 0 °C in kelvin, Kp, lapse rate, Ch, lowest and highest elevation
 * @param steadman weights of vapour pressure and wind speed, and the constant, of the apparent temperature
 * @param steadmanVapour coefficients of its vapour pressure
 * @param highestDewPoint °C
 */
record QcParameters(String[] variables, String[] checks, double[][] limits, double[] tolerances,
             Map<String, double[][]> stationLimits, Map<String, double[]> stationPressures,
             double[] seaLevelPressures, double[] resolutions, Map<String, Double[][][]> climate,
             Map<String, Double> elevations, double[] magnus, double[] reduction,
             double[] steadman, double[] steadmanVapour, double highestDewPoint)
        implements Serializable {

    /** Reads the JSON of `weatherglass.qc.observation_checks.QcParameters`. */
    static QcParameters fromJson(String json) throws JsonProcessingException {
        return new ObjectMapper().readValue(json, QcParameters.class);
    }
}
