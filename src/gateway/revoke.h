// on_revoke: cut. Streams under way whose key was revoked, disabled, deleted or has expired end with an error in the client's
// dialect, as they would if the provider had failed; so do those of a disabled team or tenant, and of a key that a new
// configuration no longer has.
//
// Use      revoke_watch() before the provider is asked for a stream, or one rides along (flight.h; the second time does
//          nothing), revoke_forget() at the exchange's end.
// When     a worker that has such streams looks at the accounts' version REVOKE_LOOK_NS after the other; only who was read under
//          another one is looked up again. An account that cannot be read cuts nobody off.
// Off      (on_revoke: finish, the default) nothing is watched.
// Thread   the worker's. Never suspends.
#ifndef RINGWAY_GATEWAY_REVOKE_H
#define RINGWAY_GATEWAY_REVOKE_H

struct exchange;
struct worker;

void revoke_open(struct worker *w);
void revoke_close(struct worker *w);

void revoke_watch(struct exchange *x);
void revoke_forget(struct exchange *x);

#endif
