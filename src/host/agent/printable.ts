/** What is shown of a message from the guest. */
const LONGEST_REASON = 300

/** Text from the guest as it may be shown on a terminal. */
export function printable(text: string): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]+/gu, ' ').trim()
  return clean.length > LONGEST_REASON ? `${clean.slice(0, LONGEST_REASON)}…` : clean
}
