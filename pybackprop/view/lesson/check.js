// How answers are read and checked, as `pybackprop learn` does it, and what is said to a wrong one.

// Two digits are enough: 0.2 for 0.1966. Every slip is further off than that.
const TOLERANCE = 0.02;

const isNumber = (word) => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word);

// The finite numbers of an answer, or null if something else is in it.
function readNumbers(text) {
  const words = text.trim().replace(/^[()[\]]+|[()[\]]+$/g, "").trim().replaceAll("−", "-").split(/[\s,;]+/);
  const numbers = words.map((word) => {
    const [above, ...rest] = word.split("/"), below = rest.length ? rest.join("/") : "1";
    return isNumber(above) && isNumber(below) ? Number(above) / Number(below) : NaN;
  });
  return numbers.every(Number.isFinite) ? numbers : null;
}

const agree = (given, wanted) => given.every((value, at) => Math.abs(value - wanted[at]) <= TOLERANCE * Math.abs(wanted[at]) + 1e-12);

// What is wrong with numbers, as far as that can be seen.
function missing(numbers, { answer, slips }) {
  const turned = numbers.map((value) => -value);
  const slip = slips.find(({ values }) => agree(numbers, values));
  if (slip) return slip.text;
  if (agree(turned, answer)) return "The sign is wrong, and nothing else.";
  const other = slips.find(({ values }) => agree(turned, values));
  return other ? `${other.text} And the sign is wrong.` : "No.";
}

// `question`: { answer, because, slips, choices }; returns { kind, text }, where the kind is right, wrong or unclear.
function checkAnswer(question, given) {
  const { answer, because, choices } = question;
  if (choices.length) {
    const word = given.trim().toLowerCase(), found = choices.filter((choice) => word && choice.startsWith(word));
    if (found.length !== 1) return { kind: "unclear", text: `Please type ${choices.join(" or ")}.` };
    return found[0] === answer ? { kind: "right", text: `Right: ${because}` } : { kind: "wrong", text: "No." };
  }
  const numbers = readNumbers(given), count = answer.length;
  if (!numbers || numbers.length !== count) {
    const example = ["-0.39", "3/4", "1e-3"].slice(0, count).join(" ");
    return { kind: "unclear", text: `Please type ${count === 1 ? "a number" : `${count} numbers`}, such as ${example}.` };
  }
  if (agree(numbers, answer)) return { kind: "right", text: `Right: ${because}` };
  return { kind: "wrong", text: missing(numbers, question) };
}
