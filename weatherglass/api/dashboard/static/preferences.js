// Units, times and colours: from the address, else as they were chosen last.

const CHOICES = {
  temp: ["c", "f"],
  wind: ["ms", "kmh", "kn"],
  time: ["utc", "local"],
  theme: ["auto", "light", "dark"],
};

function kept(name) {
  try {
    return localStorage.getItem(`weatherglass.${name}`);
  } catch {
    return null; // storage may be forbidden
  }
}

export function preference(name) {
  const asked = new URLSearchParams(location.search).get(name) ?? kept(name);
  return CHOICES[name].includes(asked) ? asked : CHOICES[name][0];
}

export function prefer(name, value) {
  try {
    localStorage.setItem(`weatherglass.${name}`, value);
  } catch {
    /* then it holds for this view only, by its address */
  }
  view({ [name]: value === CHOICES[name][0] ? null : value });
  dispatchEvent(new Event("weatherglass:preferences"));
}

/** What of the view the address says. */
export function viewed(name, otherwise = null) {
  return new URLSearchParams(location.search).get(name) ?? otherwise;
}

/** Write the view into the address, so that it can be linked to; null takes a part out. */
export function view(parts) {
  const here = new URL(location.href);
  for (const [name, value] of Object.entries(parts)) {
    if (value === null || value === "") here.searchParams.delete(name);
    else here.searchParams.set(name, value);
  }
  history.replaceState(null, "", here);
}
