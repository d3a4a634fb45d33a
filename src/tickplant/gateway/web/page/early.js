// Runs before the first paint, so that nobody sees the other colours flash up.
try {
  const theme = localStorage.getItem("tickplant.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing: as the system has it.
}
