// Sliders on the pinned weight and on the chosen input: what they change is computed anew at once.

let tuned = null;  // the place that the slider stands for

function tunable() {
  if (!canLearn) return null;
  if (state.pinned) return state.pinned;
  return state.chosen && state.chosen.layer === 0 ? state.chosen : null;
}

const tunedNumber = (place) => (isEdge(place) ? weight(place.layer, place.k, place.j) : example().a[0][place.at]);

// As far as twice the number or the largest of its kind, on both sides of 0.
function reach(place) {
  const largest = isEdge(place) ? data.weights[place.layer - 1].largest : Math.max(...data.examples.map(({ a }) => Math.max(...a[0].map(Math.abs))));
  return 2 * Math.max(largest, Math.abs(tunedNumber(place))) || 1;
}

// The slider is made when another number is chosen, and not while it is dragged.
function paintTune() {
  const place = tunable();
  byId("tune").hidden = !place && !live.changed;
  byId("tune-row").hidden = !place;
  if (place && !isSame(place, tuned)) {
    const most = Number(reach(place).toPrecision(2));
    Object.assign(byId("tune-slider"), { min: -most, max: most, step: most / 500 });
    byId("tune-slider").setAttribute("aria-label", isEdge(place) ? edgeName(place) : `Input ${naming(0, place.at)}`);
  }
  tuned = place;
  if (place) {
    const number = tunedNumber(place);
    byId("tune-slider").value = number;
    byId("tune-name").innerHTML = isEdge(place) ? "<i>w</i>" : "<i>a</i><sup>0</sup>";
    byId("tune-value").textContent = rounded(number, 4);
  }
  const given = data.examples[state.example].cost;
  byId("tune-result").textContent = live.changed
    ? `C = ${exact(example().cost)} (${live.changed} ${live.changed > 1 ? "numbers" : "number"} changed; ${exact(given)} as given)`
    : `C = ${exact(given)}`;
  byId("put-back").disabled = !live.changed;
}

function onTune(event) {
  const number = Number(event.target.value);
  if (isEdge(tuned)) changeWeight(tuned, number);
  else changeInput(tuned.at, number);
  render();
}

function listenToTune() {
  byId("tune-slider").addEventListener("input", onTune);
  byId("put-back").addEventListener("click", () => {
    putBack();
    render();
  });
}
