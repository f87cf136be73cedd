/** The oldest Node.js that Tenon runs on. */
export const OLDEST = [20, 19, 0]

/** Whether a version, such as `20.19.1`, is new enough. */
export function isSupported(version) {
  const parts = version.split('.').map(part => parseInt(part, 10))
  const different = OLDEST.findIndex((part, index) => parts[index] !== part)
  return different < 0 || parts[different] > OLDEST[different]
}
