// A question on the page: a field or buttons for the answer, and what is said to it.

// How often a question is asked before the answer is shown.
const TRIES = 3;

const answerText = ({ answer, choices }) => (choices.length ? answer : answer.map((value) => rounded(value, 4)).join(" "));

// What the tab of a place is called.
function screenOf(place) {
  const tab = byId(`tab-${new URLSearchParams(place).get("tab")}`);
  return tab ? tab.textContent : "";
}

class QuestionBox {
  // `question` as checkAnswer takes it, with its text, and with the place where the answer can be seen, or "";
  // `onEnd` is called once it has been answered or shown.
  constructor(heading, question, onEnd) {
    Object.assign(this, { question, onEnd, tries: 0, outcome: null });
    this.box = document.createElement("section");
    this.box.className = "question";
    this.box.innerHTML = `<h2>${escaped(heading)}</h2><p class="asked">${escaped(question.text)}</p><form>${this.fields()}` +
      '<button type="button" class="give-up">show the answer</button> ' +
      `<button type="button" class="see" hidden>see it on ${screenOf(question.see)}</button></form><p class="reply" role="status"></p>`;
    this.listen();
  }

  fields() {
    const { choices } = this.question;
    if (choices.length) {
      return choices.map((choice) => `<button type="button" class="choice" value="${choice}">${choice}</button> `).join("");
    }
    return `<input type="text" aria-label="answer: ${escaped(this.question.text)}" autocomplete="off" spellcheck="false"> ` +
      "<button>check</button> ";
  }

  part(selector) {
    return this.box.querySelector(selector);
  }

  listen() {
    this.part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.answer(this.part("input").value);
    });
    for (const choice of this.box.querySelectorAll(".choice")) choice.addEventListener("click", () => this.answer(choice.value));
    this.part(".give-up").addEventListener("click", () => this.end("shown", this.solution()));
    this.part(".see").addEventListener("click", () => {
      goTo(this.question.see);
      byId("tabs").scrollIntoView({ block: "start" });
    });
  }

  solution() {
    return `The answer is ${answerText(this.question)}: ${this.question.because}`;
  }

  answer(given) {
    if (this.outcome) return;
    const { kind, text } = checkAnswer(this.question, given);
    if (kind === "right") {
      this.end("right", text);
      return;
    }
    if (kind === "wrong") this.tries++;
    if (this.tries >= TRIES) this.end("shown", `${text} ${this.solution()}`);
    else this.reply(kind, text);
  }

  end(outcome, text) {
    this.outcome = outcome;
    for (const field of this.box.querySelectorAll("input, form button:not(.see)")) field.disabled = true;
    this.part(".see").hidden = !this.question.see;
    this.reply(outcome, text);
    this.onEnd();
  }

  reply(kind, text) {
    this.box.dataset.kind = kind;
    this.part(".reply").textContent = `${{ right: "✓ ", wrong: "✗ " }[kind] || ""}${text}`;
  }
}
