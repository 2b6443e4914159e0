// The pages of the provider.

export const escape = (value) => String(value).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const STYLE = `
:root { --text: #1c2024; --soft: #5b6570; --line: #d5dae0; --page: #f4f1f8; --card: #fff; --accent: #6a3fa0; --on-accent: #fff; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8eaed; --soft: #a3adb8; --line: #3a424b; --page: #17141b; --card: #211d27; --accent: #c7a6f2; --on-accent: #28133b; --wrong: #f2b8b5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: 3rem 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1.25rem; }
.card > :last-child, .card > form > :last-child { margin-bottom: 0; }
.soft { color: var(--soft); }
.wrong { color: var(--wrong); }
p { margin: 0 0 1rem; }
label { display: block; margin-bottom: .25rem; }
input { display: block; width: 100%; font: inherit; color: inherit; background: var(--page); border: 1px solid var(--soft); border-radius: .375rem; padding: .5rem .75rem; }
button { font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .375rem; padding: .5rem 1rem; min-height: 2.75rem; cursor: pointer; }
button.second { color: var(--accent); background: none; }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }`;

/** Return a whole page; `body` is HTML. */
export function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${escape(title)} · provider</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
<div class="card">${body}</div>
</main>
</body>
</html>`;
}

export function signInForm(accounts, password, code, wrong) {
  const logins = accounts.map(({ login }) => `<code>${login}</code>`).join(' and ');
  const whatIsWrong = code ? 'The name, the password or the code' : 'The name or the password';
  const codeField = `<p><label for="code">Code</label><input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required></p>
<p class="soft">The application demands a code, too. It is <code>${code}</code>.</p>`;
  return `<form method="post">
${wrong ? `<p class="wrong" role="alert">${whatIsWrong} is wrong.</p>` : ''}
<p><label for="login">Name</label><input id="login" name="login" autocomplete="username" autocapitalize="none" required autofocus></p>
<p><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required></p>
<p class="soft">There are ${logins}, each with the password <code>${password}</code>.</p>
${code ? codeField : ''}
<button>Sign in</button>
</form>`;
}

/** Return the buttons of the form that oidc-provider renders. */
export function signOutButtons() {
  return `<p>The provider also signs you out of the applications that you signed in to through it.</p>
<div class="buttons">
<button form="op.logoutForm" name="logout" value="yes" autofocus>Yes, sign out</button>
<button form="op.logoutForm" class="second">No, stay signed in</button>
</div>`;
}
