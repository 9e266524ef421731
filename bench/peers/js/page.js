/** The page of serve.js: takes a question, calls the library's handler of that name, sends the answer. */

const library = new URL(location.href).searchParams.get("library");
let handlers;
const post = (path, body) => fetch(path, { method: "POST", body });

for (;;) {
  const response = await fetch("/question");
  if (response.status !== 200) continue;
  const { call, args } = await response.json();
  let answer;
  try {
    if (!crossOriginIsolated) throw new Error("the page is not cross-origin isolated: no threads");
    handlers ??= await import(`/page/${library}`);
    const browser = () => navigator.userAgent.match(/Chrome\/[\d]+/)?.[0] ?? navigator.userAgent;
    answer = { result: await { browser, ...handlers }[call](args) };
  } catch (error) {
    answer = { error: String(error?.message ?? error).split("\n")[0] };
  }
  await post("/answer", JSON.stringify(answer));
}
