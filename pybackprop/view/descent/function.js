// The descent on a function, whose values and paths Python has computed.

function showFunction(box, given) {
  const numbers = (values) => values.map((value) => (value === null ? NaN : value));
  new DescentPicture(box).show({
    ...given, grid: { count: given.count, values: numbers(given.values) },
    runs: given.runs.map((run) => ({ ...run, values: numbers(run.values) })),
    limit: given.hessian && limitOf(given.hessian, given.at),
  });
}
