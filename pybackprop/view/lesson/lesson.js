// The lesson: its questions beside its example.

const lesson = { boxes: [] };

function askLesson() {
  const { questions } = data.lesson;
  questions.forEach((given, at) => {
    const question = given.weight ? askedOfWeight(given) : given;
    const box = new QuestionBox(`Question ${at + 1} of ${questions.length}`, question, tellLesson);
    lesson.boxes.push(box);
    byId("lesson").append(box.box);
  });
  const result = document.createElement("p");
  result.id = "result";
  result.setAttribute("role", "status");
  byId("lesson").append(result);
}

function tellLesson() {
  const done = lesson.boxes.filter(({ outcome }) => outcome), right = done.filter(({ outcome }) => outcome === "right");
  byId("result").textContent = done.length === lesson.boxes.length ? `${right.length} of ${done.length} right.` : "";
}

askLesson();
