package weatherglass;

import java.io.Serializable;
import java.util.Map;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * What is known of the variables, the stations and the air; each is explained in `weatherglass.qc.observation_checks`, the formulas'
 * constants in `weatherglass.meteorology`.
 *
 * @param variables names of the five, in their order
 * @param checks names of the checks of one observation, in their order
 * @param climate by station: lowest and highest of a month and variable
 * @param magnus A, B and E
 * @param reduction 0 °C in kelvin, Kp, lapse rate, Ch, lowest and highest elevation
 */
record Rules(String[] variables, String[] checks, double[][] limits, double[] resolutions,
             Map<String, Double[][][]> climate, Map<String, Double> elevations, double[] magnus, double[] reduction,
             double[] steadman, double[] steadmanVapour, double highestDewPoint, double pressureTolerance)
        implements Serializable {

    /** From the JSON of `weatherglass.qc.observation_checks.Rules`. */
    static Rules parsed(String json) throws JsonProcessingException {
        return new ObjectMapper().readValue(json, Rules.class);
    }
}
