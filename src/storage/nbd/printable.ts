/** Text that a peer has sent, fit for a message of ours: on one line, without control characters. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+/g, ' ').trim()
}
