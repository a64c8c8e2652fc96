// SPDX-License-Identifier: BSD-2-Clause
// What the server has rendered anew takes the place of what is there.  Without this the page reloads by itself.
"use strict";
(() => {
	const body = document.body, sign = document.getElementById("live");
	const SILENT_MS = 25000, AGAIN_MS = 700;
	let now = Number(body.dataset.now), got = Date.now(), heard = 0, loading = false, wanted = false, source;

	const say = (state, text) => {
		if (sign.textContent === text)
			return;
		sign.className = "live " + state;
		sign.textContent = text;
	};

	const span = s =>
		s < 120 ? s + " s" : s < 7200 ? Math.floor(s / 60) + " min"
			: s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";

	const ages = () => {
		const at = now + Date.now() - got;
		for (const e of document.querySelectorAll(".age")) {
			const text = span(Math.max(0, Math.floor((at - Number(e.dataset.at)) / 1000)));
			if (e.textContent !== text)
				e.textContent = text;
		}
	};

	// The element that has the focus, or stands in its place afterwards.
	const keepFocus = change => {
		const had = document.activeElement;
		const id = had && had.closest("[id]") && had.closest("[id]").id, href = had && had.getAttribute("href");
		const text = had && had.tagName === "INPUT" ? had.value : null;
		change();
		if (!had || document.contains(had) || had === body)
			return;
		const home = id && document.getElementById(id);
		const again = home && (href ? [...home.querySelectorAll("a")].find(a => a.getAttribute("href") === href) : home);
		if (again) {
			again.focus({ preventScroll: true });
			if (text !== null)
				again.value = text;
		}
	};

	const put = html => {
		const t = document.createElement("template");
		t.innerHTML = html;
		const fresh = t.content.firstElementChild, old = fresh && document.getElementById(fresh.id);
		if (!old || old.isEqualNode(fresh))
			return;
		keepFocus(() => old.replaceWith(fresh));
	};

	const reload = async () => {
		if (loading) {
			wanted = true;
			return;
		}
		loading = true;
		try {
			const answer = await fetch(location.href, { cache: "no-store" });
			const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
			if (answer.ok || answer.status === 404) {
				keepFocus(() => document.getElementById("main").replaceWith(doc.getElementById("main")));
				document.title = doc.title;
				const icon = document.querySelector("link[rel=icon]"), other = doc.querySelector("link[rel=icon]");
				if (other && icon.getAttribute("href") !== other.getAttribute("href"))
					icon.setAttribute("href", other.getAttribute("href"));
				if (doc.body.dataset.now)
					[now, got] = [Number(doc.body.dataset.now), Date.now()];
				ages();
			}
		} catch {
			// The stream says that mhad does not answer.
		}
		setTimeout(() => {
			loading = false;
			if (wanted) {
				wanted = false;
				reload();
			}
		}, AGAIN_MS);
	};

	const hear = e => {
		heard = Date.now();
		say("on", "● live");
		const at = e.type === "now" || e.type === "ready" ? JSON.parse(e.data).at : 0;
		if (e.type === "ready" && at - now > 1500)
			reload();
		if (at > now)
			[now, got] = [at, heard];
	};

	const listen = () => {
		source = new EventSource(body.dataset.live);
		for (const type of ["ready", "now"])
			source.addEventListener(type, hear);
		source.addEventListener("part", e => put(e.data));
		source.addEventListener("stale", reload);
		source.onerror = () => {
			say("off", "not live");
			if (source.readyState === EventSource.CLOSED)
				setTimeout(listen, 3000);
		};
	};

	if (!body.dataset.live)
		return;
	listen();
	setInterval(() => {
		ages();
		if (heard && Date.now() - heard > SILENT_MS)
			say("off", "not live");
	}, 1000);
	addEventListener("pagehide", () => source.close());
	addEventListener("pageshow", e => e.persisted && location.reload());
})();
