import type { ProgressEvent } from '../../host/images/progress.ts'

/** Says on standard output what is fetched or built. */
export function showProgress(event: ProgressEvent): void {
  if (event.kind === 'stage') console.log(event.text)
  else if (event.kind === 'transfer' && event.received === 0) console.log(`${event.action ?? 'fetching'} ${event.name} (${(event.total / 1e6).toFixed(1)} MB)`)
}
