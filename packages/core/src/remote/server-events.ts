/** Longest event that is taken for one. */
const mostCharacters = 2 ** 24;

/**
 * The data of server-sent events (WHATWG HTML, section 9.2), from text in pieces of any size.
 *
 * @throws RangeError for an event that is longer than any answer's
 */
export async function* serverEvents(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  let data: string[] = [];
  for await (const piece of pieces) {
    rest += piece;
    // A \r at the end may be the first half of \r\n.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length > mostCharacters) throw new RangeError("an event of the stream is too long");
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
  }
}
