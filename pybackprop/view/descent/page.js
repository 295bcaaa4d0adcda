// The page of the descent on a function.

byId("title").textContent = data.title;
showFunction(byId("descent"), data);
