// User preferences (units, time zone, theme) and view parameters, from the URL or from local storage.

const CHOICES = {
  temp: ["c", "f"],
  wind: ["ms", "kmh", "kn"],
  time: ["utc", "local"],
  theme: ["auto", "light", "dark"],
};

function readStored(name) {
  try {
    return localStorage.getItem(`weatherglass.${name}`);
  } catch {
    return null; // the browser may block storage
  }
}

/** The preference in the URL, else the stored one, else the default. */
export function getPreference(name) {
  const value = getUrlParam(name) ?? readStored(name);
  return CHOICES[name].includes(value) ? value : CHOICES[name][0];
}

export function setPreference(name, value) {
  try {
    localStorage.setItem(`weatherglass.${name}`, value);
  } catch {
    /* without storage, the preference is only kept in the URL */
  }
  setUrlParams({ [name]: value === CHOICES[name][0] ? null : value });
  dispatchEvent(new Event("weatherglass:preferences"));
}

export function getUrlParam(name, defaultValue = null) {
  return new URLSearchParams(location.search).get(name) ?? defaultValue;
}

/** Set URL parameters so that the view can be linked to; null or "" removes a parameter. */
export function setUrlParams(params) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  history.replaceState(null, "", url);
}
