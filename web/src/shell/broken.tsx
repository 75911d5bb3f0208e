import { Component, type ReactNode } from 'react';

/** Says that a tab could not be shown, and what to do; the other tabs go on. */
export class Broken extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    // A part that can not be read: the server is away, or a newer version runs there with parts of other names.
    const part = /dynamically imported module|Importing a module/.test(error.message);
    return (
      <section className="empty" role="alert">
        <p>
          {part
            ? 'This tab could not be read: Signalbox does not answer, or was upgraded since this page was opened.'
            : `This tab can not be shown: ${error.message}`}
        </p>
        <button type="button" className="primary" onClick={() => window.location.reload()}>
          Reload the page
        </button>
      </section>
    );
  }
}
