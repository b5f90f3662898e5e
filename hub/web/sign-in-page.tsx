/** Nothing is redeemed until somebody clicks: programs that look at links in mail run scripts too. */
export const SignInPage = () => (
  <div class="sign-in" id="sign-in">
    <h1>Sign in</h1>
    <div id="with-link" hidden>
      <p class="dim">This link signs this browser in, once.</p>
      <button type="button" class="btn first" id="redeem">
        Sign in to Parallax
      </button>
    </div>
    <form id="without-link" class="label" hidden>
      <label class="label">
        Sign-in link
        <input
          class="field"
          id="link"
          type="password"
          autocomplete="off"
          spellcheck={false}
          aria-describedby="link-says"
        />
        <small id="link-says">
          The hub prints one when it first starts. A new one: <code>parallax sign-in</code> on the hub's
          machine.
        </small>
      </label>
      <button type="submit" class="btn first">
        Sign in
      </button>
    </form>
    <div class="note down" id="refused" role="alert" hidden></div>
    <noscript>
      <div class="note">
        <b>Signing in takes JavaScript</b>
        <span>
          The secret of the link stands behind its #, where only this page can read it. The pages themselves
          can be read without JavaScript once you are signed in.
        </span>
      </div>
    </noscript>
  </div>
);
