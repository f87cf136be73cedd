/** What the making of an image has to tell: for a progress bar or a log. */
export type ProgressEvent =
  | { readonly kind: 'stage', readonly text: string }
  /** `received` counts up to `total`, in bytes. `action`: fetching, if it is left out. */
  | { readonly kind: 'transfer', readonly name: string, readonly received: number, readonly total: number, readonly action?: 'reading' | 'writing' }
  /** Of `total` like things, `done` are done, and `what` is being worked on. */
  | { readonly kind: 'step', readonly name: string, readonly done: number, readonly total: number, readonly what: string }

export type ProgressListener = (event: ProgressEvent) => void
