// The page of the descent on a function, whose values and paths Python has computed.

byId("title").textContent = data.title;
new DescentPicture(byId("descent")).show({
  ...data, grid: { count: data.count, values: data.values.map((value) => (value === null ? NaN : value)) },
  runs: data.runs.map((run) => ({ ...run, values: run.values.map((value) => (value === null ? NaN : value)) })),
  limit: data.hessian && limitOf(data.hessian, data.at),
});
