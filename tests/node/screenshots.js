// Pictures of every page, light and dark, wide and narrow, into a folder that is not committed:
//   scripts/screenshots [name …]
// `scripts/screenshots readme` makes the two pictures of README.md instead.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { House, become, browser, pages } from "./house.js";

const FOLDER = process.env.FAREBOX_SCREENSHOTS ?? "screenshots";
const SIZES = { wide: { width: 1280, height: 860 }, narrow: { width: 360, height: 740 } };

mkdirSync(FOLDER, { recursive: true });
const wanted = process.argv.slice(2);
const README = wanted[0] === "readme";
const house = await House.start(README ? 22 : 0);
const chromium = await browser();
try {
  const first = await chromium.newContext();
  const door = await first.newPage();
  await become(door, house.farebox);
  await door.goto(house.portal);
  const storageState = await first.storageState();
  if (README) {
    mkdirSync("docs/images", { recursive: true });
    for (const [name, colorScheme, path] of [["home", "light", "/"], ["wallet", "dark", pages(house).wallet]]) {
      const viewport = { width: 1200, height: 800 };
      const context = await chromium.newContext({ viewport, colorScheme, storageState });
      const page = await context.newPage();
      await page.goto(house.farebox.url + path);
      await page.screenshot({ path: `docs/images/dashboard-${name}.png` });
      await context.close();
    }
    process.exitCode = 0;
  }
  for (const [size, viewport] of Object.entries(README ? {} : SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await chromium.newContext({ viewport, colorScheme, storageState });
      const page = await context.newPage();
      for (const [name, path] of Object.entries(pages(house))) {
        if (wanted.length && !wanted.includes(name)) continue;
        await page.goto(house.farebox.url + path);
        await page.screenshot({ path: join(FOLDER, `${name}-${colorScheme}-${size}.png`), fullPage: true });
      }
      await context.close();
    }
  }
  const outside = await chromium.newContext({ viewport: SIZES.wide });
  const page = await outside.newPage();
  await page.goto(house.farebox.url + "/sign-in");
  await page.screenshot({ path: join(FOLDER, "sign-in-light-wide.png") });
} finally {
  await chromium.close();
  await house.end();
}
